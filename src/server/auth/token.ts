/** The server's token: who has it is a principal with all rights. */
import { TinyMQError } from "../../errors.ts";
import type { Principal } from "../../session/principal.ts";

const ALL_RIGHTS: Principal = { may: () => true };

/** The token that clients must present: the first line of the token file. Throws INVALID_ARGUMENT. */
export async function readToken(tokenFile: string): Promise<string> {
  let text: string;
  try {
    text = await Bun.file(tokenFile).text();
  } catch (cause) {
    throw new TinyMQError("INVALID_ARGUMENT", `token-file: cannot read ${tokenFile}: ${String(cause)}`, {
      cause,
    });
  }
  const token = text.split("\n", 1)[0]!.trim();
  if (token === "") throw new TinyMQError("INVALID_ARGUMENT", `token-file: ${tokenFile} is empty`);
  return token;
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
