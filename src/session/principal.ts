/** Who a client is, and what it may do: decided by the server, asked wherever a client is served. */
import { TinyMQError } from "../errors.ts";

/** What a client may want: each RPC and each path of HTTP needs one of these. */
export type Action = "produce" | "consume" | "subscribe" | "observe" | "admin";

/** A client whose token was accepted. */
export interface Principal {
  /** Whether it may do `action` on `topic`; "": on none in particular. */
  may(action: Action, topic: string): boolean;
}

/** Throws PERMISSION_DENIED unless the client may do `action` on `topic`; "": on none in particular. */
export function requireRight(principal: Principal, action: Action, topic: string): void {
  if (principal.may(action, topic)) return;
  const what = topic === "" ? action : `${action} on topic "${topic}"`;
  throw new TinyMQError("PERMISSION_DENIED", `this token has no right to ${what}`);
}
