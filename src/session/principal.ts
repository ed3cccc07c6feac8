/** Who a client is, and what it may do: decided by the server, asked by whoever serves the client. */

/** What a client may want: each RPC and each path of HTTP needs one of these. */
export type Action = "produce" | "consume" | "subscribe" | "observe" | "admin";

/** A client whose token was accepted. */
export interface Principal {
  /** Whether it may do `action` on `topic`; "": on none in particular. */
  may(action: Action, topic: string): boolean;
}
