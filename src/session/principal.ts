/** Who a client is, and what it may do. The server decides; sessions and unary calls ask. */
import { TinyMQError } from "../errors.ts";

/** A right; each RPC and each unary method requires one. */
export type Action = "produce" | "consume" | "subscribe" | "observe" | "admin";

/** A client whose token was accepted. */
export interface Principal {
  /** Whether it may do `action` on `topic`; "" stands for no topic in particular. */
  may(action: Action, topic: string): boolean;
}

/** Throws PERMISSION_DENIED unless the client may do `action` on `topic`; "" stands for no topic in particular. */
export function requireRight(principal: Principal, action: Action, topic: string): void {
  if (principal.may(action, topic)) return;
  const what = topic === "" ? action : `${action} on topic "${topic}"`;
  throw new TinyMQError("PERMISSION_DENIED", `this token lacks permission to ${what}`);
}
