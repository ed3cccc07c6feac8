import type { ConnectionOptions } from "../src/index.ts";
import type { Target } from "./target.ts";

/** How the client connects to `target`. */
export function clientOptions(target: Target): Pick<ConnectionOptions, "token" | "tls"> {
  // The server's certificate is made out for what others call it; its PID file says who it is.
  const tls = target.tls && target.own ? { rejectUnauthorized: false } : target.tls;
  return { token: target.token, tls };
}
