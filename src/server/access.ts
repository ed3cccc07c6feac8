/** Who may connect: addresses, Host and Origin headers, and the token. */
import { TinyMQError } from "../errors.ts";

/** Whether an address or a name is this machine's own. */
export function isLoopback(host: string): boolean {
  const name = host.replace(/^\[|\]$/g, "").toLowerCase();
  return (
    name === "localhost" || name.endsWith(".localhost") || name === "::1" || /^127(\.\d{1,3}){3}$/.test(name)
  );
}

/** Throws FAILED_PRECONDITION for a bind beyond loopback that nobody is asked a token for. */
export function checkBind(host: string, token: string, noAuth: boolean): void {
  if (isLoopback(host) || token !== "" || noAuth) return;
  throw new TinyMQError(
    "FAILED_PRECONDITION",
    `listening on ${host} would let everybody in: set a token (--token-file or TINYMQ_TOKEN), or --no-auth if that is wanted`,
  );
}

/** The token that clients must know: the first line of the token file. Throws INVALID_ARGUMENT. */
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

/** Compares in a time that tells nothing about the token. An empty one lets everybody in. */
export function tokenChecker(token: string): (given: string) => boolean {
  if (token === "") return () => true;
  // Digests have one length, and differ all over where the texts differ in a letter. Bun's own hasher:
  // node:crypto alone would make the idle server a quarter larger.
  const digest = (text: string) => new Bun.CryptoHasher("sha256").update(text).digest();
  const wanted = digest(token);
  return (given) => {
    const other = digest(given);
    let difference = 0;
    for (let index = 0; index < wanted.length; index++) difference |= wanted[index]! ^ other[index]!;
    return difference === 0;
  };
}

/**
 * Why a request is refused, or null. A page of another site must not reach a server on this machine: its
 * Origin tells it, and a name that was pointed at loopback tells in the Host header.
 */
export function refusal(request: Request, onLoopback: boolean, allowed: readonly string[]): string | null {
  const host = request.headers.get("host") ?? "";
  if (onLoopback && !isLoopback(hostName(host))) {
    return `the Host header "${host}" is not a name of this machine, and the server listens on this machine only`;
  }
  const origin = request.headers.get("origin");
  if (origin === null || allowed.includes("*") || allowed.includes(origin)) return null;
  if (URL.canParse(origin) && new URL(origin).host === host.toLowerCase()) return null;
  return `pages of ${origin} may not connect: allow it with --allow-origin ${origin}`;
}

function hostName(host: string): string {
  return host.startsWith("[") ? host.slice(0, host.indexOf("]") + 1) : host.replace(/:\d*$/, "");
}
