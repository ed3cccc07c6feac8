/** What all sessions of a server share: the broker, buffers, limits, and how tokens are checked. */
import type { Broker } from "../broker/broker.ts";
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
