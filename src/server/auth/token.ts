/** The server's token: who has it is a principal with all rights. */
import { TinyMQError } from "../../errors.ts";
import type { Principal } from "../../session/principal.ts";
import { KiB } from "../../wire/limits.ts";
import { readSmallFile } from "../files.ts";

const ALL_RIGHTS: Principal = { may: () => true };
/** The first frame of a stream carries the token and has at most 4 KiB. */
const MAX_TOKEN_BYTES = 2 * KiB;
const MAX_FILE_BYTES = 16 * KiB;

/**
 * A token that clients can present; "": none is asked for. `what` names where it comes from. Throws
 * INVALID_ARGUMENT for blanks alone or at an end (HTTP headers cannot carry them), and for several lines.
 */
export function requireToken(token: unknown, what: string): string {
  if (token === "") return "";
  const wrong = (why: string) => new TinyMQError("INVALID_ARGUMENT", `${what}: ${why}`);
  if (typeof token !== "string") throw wrong("the token is no text");
  if (token.trim() === "") throw wrong("the token is nothing but blanks: set one, or leave it out");
  if (token !== token.trim()) throw wrong("the token begins or ends with a blank");
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
  if (/[\u0000-\u001f\u007f-\u009f]/.test(token)) {
    throw wrong("the token is one line without control characters, and this is more");
  }
  if (Buffer.byteLength(token) > MAX_TOKEN_BYTES) throw wrong(`the token is above ${MAX_TOKEN_BYTES} bytes`);
  return token;
}

/** The token of the token file: its one line. Throws INVALID_ARGUMENT. */
export function readToken(tokenFile: string): string {
  const what = `token-file: ${tokenFile}`;
  const text = readSmallFile(tokenFile, "token-file", MAX_FILE_BYTES).trim();
  if (text === "") throw new TinyMQError("INVALID_ARGUMENT", `${what}: the file holds no token`);
  if (text.includes("\n")) {
    throw new TinyMQError(
      "INVALID_ARGUMENT",
      `${what}: the file has several lines: put the token alone into it`,
    );
  }
  return requireToken(text, what);
}

/**
 * Who a client with a given token is: one with all rights, or null if the token is not `token`. "": no token is
 * asked for. The time of the comparison tells nothing about the token.
 */
export function authenticator(token: string): (given: string) => Principal | null {
  if (token === "") return () => ALL_RIGHTS;
  // Digests have one length, and differ all over where the texts differ in a letter. Bun's own hasher:
  // node:crypto alone would make the idle server a quarter larger.
  const digest = (text: string) => new Bun.CryptoHasher("sha256").update(text).digest();
  const wanted = digest(token);
  return (given) => {
    const other = digest(given);
    let difference = 0;
    for (let index = 0; index < wanted.length; index++) difference |= wanted[index]! ^ other[index]!;
    return difference === 0 ? ALL_RIGHTS : null;
  };
}
