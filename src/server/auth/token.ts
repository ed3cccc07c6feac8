/** The server's token. A client that presents it has all rights. */
import { statSync } from "node:fs";
import { TinyMQError } from "../../errors.ts";
import type { Principal } from "../../session/principal.ts";
import { KiB } from "../../wire/limits.ts";
import { readSmallFile } from "../files.ts";

const ALL_RIGHTS: Principal = { may: () => true };
/** The token must fit into the first frame of a stream, which has at most 4 KiB. */
const MAX_TOKEN_BYTES = 2 * KiB;
const MAX_FILE_BYTES = 16 * KiB;

/**
 * Checks a token; "" means that none is required. `what` names its source. Throws INVALID_ARGUMENT for a token that
 * HTTP headers cannot carry (blank, with blanks at an end, or with control characters) or that is too long.
 */
export function requireToken(token: unknown, what: string): string {
  if (token === "") return "";
  const wrong = (why: string) => new TinyMQError("INVALID_ARGUMENT", `${what}: ${why}`);
  if (typeof token !== "string") throw wrong("the token is not a string");
  if (token.trim() === "") throw wrong("the token is blank: set one, or leave it out");
  if (token !== token.trim()) throw wrong("the token begins or ends with white space");
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
  if (/[\u0000-\u001f\u007f-\u009f]/.test(token)) {
    throw wrong("the token must be one line without control characters");
  }
  if (Buffer.byteLength(token) > MAX_TOKEN_BYTES)
    throw wrong(`the token is longer than ${MAX_TOKEN_BYTES} bytes`);
  return token;
}

/** Reads the token file, whose only line is the token. Throws INVALID_ARGUMENT. */
export function readToken(tokenFile: string): string {
  const what = `token-file: ${tokenFile}`;
  const text = readSmallFile(tokenFile, "token-file", MAX_FILE_BYTES).trim();
  if (text === "") throw new TinyMQError("INVALID_ARGUMENT", `${what}: the file contains no token`);
  if (text.includes("\n")) {
    throw new TinyMQError(
      "INVALID_ARGUMENT",
      `${what}: the file has several lines: put only the token into it`,
    );
  }
  return requireToken(text, what);
}

/** A warning if other users may read or write the token file; none if it is "". */
export function tokenFileWarnings(tokenFile: string): string[] {
  const mode = tokenFile === "" ? 0 : (statSync(tokenFile, { throwIfNoEntry: false })?.mode ?? 0);
  if ((mode & 0o077) === 0) return [];
  return [`other users can read or change the token file; run: chmod 600 '${tokenFile}'`];
}

/**
 * Returns a function that checks given tokens: null if one is not `token`, else a principal with all rights. With ""
 * no token is required. The duration of the check reveals nothing about the token.
 */
export function authenticator(token: string): (given: string) => Principal | null {
  if (token === "") return () => ALL_RIGHTS;
  // Digests have equal lengths, and do not reveal how much of two tokens is equal. Bun's own hasher, since loading
  // node:crypto would make the idle server a quarter larger.
  const digest = (text: string) => new Bun.CryptoHasher("sha256").update(text).digest();
  const wanted = digest(token);
  return (given) => {
    const other = digest(given);
    let difference = 0;
    for (let index = 0; index < wanted.length; index++) difference |= wanted[index]! ^ other[index]!;
    return difference === 0 ? ALL_RIGHTS : null;
  };
}
