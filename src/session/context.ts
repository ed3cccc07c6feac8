/** What sessions share: the broker behind them, and what the server decided. */
import type { Broker } from "../broker/broker.ts";
import type { Limits } from "../gen/tinymq/v1/queue.ts";
import type { FrameWriter } from "../wire/frames.ts";
import type { OutboundBuffers } from "./outbound-buffers.ts";
import type { Principal } from "./principal.ts";

export interface SessionContext {
  readonly broker: Broker;
  readonly outboundBuffers: OutboundBuffers;
  /** One for all: frames are copied or sent before the next is written. */
  readonly frames: FrameWriter;
  readonly heartbeatMs: number;
  readonly deadAfterMs: number;
  /** What `opened` tells clients, but for `maxInFlight`. */
  readonly limits: Limits;
  /** Who a client with this token is; null: nobody, the token is wrong or missing. */
  authenticate(token: string): Principal | null;
  /** Logs an unexpected error, with its stack. */
  failed(what: string, error: unknown): void;
  /** Logs what a client did wrong, at a bounded rate. */
  misbehaved(what: string): void;
}
