/** Where clients may connect from: checks the listen address and the Host and Origin headers. */
import { TinyMQError } from "../../errors.ts";

/** Whether an address or name is a loopback one. */
export function isLoopback(host: string): boolean {
  const name = host.replace(/^\[|\]$/g, "").toLowerCase();
  return (
    name === "localhost" || name.endsWith(".localhost") || name === "::1" || /^127(\.\d{1,3}){3}$/.test(name)
  );
}

/** Throws FAILED_PRECONDITION for listening beyond loopback without a token. */
export function checkBind(host: string, token: string, noAuth: boolean): void {
  if (isLoopback(host) || token !== "" || noAuth) return;
  throw new TinyMQError(
    "FAILED_PRECONDITION",
    `listening on ${host} without a token would let anyone in: set a token (--token-file or TINYMQ_TOKEN), or pass --no-auth`,
  );
}

/**
 * Why a request is refused, or null. Pages of other sites must not reach a server on this machine: they are
 * recognized by their Origin header, or after DNS rebinding by their Host header.
 */
export function refusal(request: Request, onLoopback: boolean, allowed: readonly string[]): string | null {
  const host = request.headers.get("host") ?? "";
  if (onLoopback && !isLoopback(hostName(host))) {
    return `the Host header "${host}" does not name this machine, and the server accepts local connections only: connect to localhost, or make it listen on another address with --host`;
  }
  const origin = request.headers.get("origin");
  if (origin === null || allowed.includes("*") || allowed.includes(origin)) return null;
  if (URL.canParse(origin) && new URL(origin).host === host.toLowerCase()) return null;
  return `web pages from ${origin} may not connect: allow them with --allow-origin ${origin} (allowOrigin in TinyMQServer)`;
}

function hostName(host: string): string {
  return host.startsWith("[") ? host.slice(0, host.indexOf("]") + 1) : host.replace(/:\d*$/, "");
}
