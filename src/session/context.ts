/** What all sessions of a server share: the broker, buffers, limits, how tokens are checked, which ends are logged. */
import type { Broker } from "../broker/broker.ts";
import type { Code, TinyMQError } from "../errors.ts";
import type { Limits } from "../gen/tinymq/v1/queue.ts";
import type { FrameWriter } from "../wire/frames.ts";
import type { OutboundBuffers } from "./outbound-buffers.ts";
import type { Principal } from "./principal.ts";

export interface SessionContext {
  readonly broker: Broker;
  readonly outboundBuffers: OutboundBuffers;
  /** Shared, since every frame is copied or sent before the next one is written. */
  readonly frames: FrameWriter;
  readonly heartbeatMs: number;
  readonly deadAfterMs: number;
  /** The limits that `opened` announces; each RPC sets its own `maxInFlight`. */
  readonly limits: Limits;
  /** The client that a token belongs to; null if the token is missing or wrong. */
  authenticate(token: string): Principal | null;
  /** Logs an unexpected error, with its stack. */
  failed(what: string, error: unknown): void;
  /** Logs what a client did wrong, rate-limited. */
  misbehaved(what: string): void;
}

/** Errors that an operator wants to see in the log, rate-limited. */
const MISBEHAVIOUR: ReadonlySet<Code> = new Set<Code>([
  "INVALID_ARGUMENT",
  "OUT_OF_RANGE",
  "RESOURCE_EXHAUSTED",
  "UNAUTHENTICATED",
]);

/** Logs why a connection was ended with an error, if an operator wants to know. */
export function logEnd(context: SessionContext, error: TinyMQError): void {
  if (error.code === "INTERNAL") context.failed("a connection failed", error);
  else if (MISBEHAVIOUR.has(error.code)) context.misbehaved(error.message);
}
