/** What sessions share: the broker behind them, and what the server decided. */
import type { Broker } from "../broker/broker.ts";
import type { Limits } from "../gen/tinymq/v1/queue.ts";
import type { FrameWriter } from "../wire/frames.ts";
import type { Outbound } from "./send-buffers.ts";

export interface SessionContext {
  readonly broker: Broker;
  readonly outbound: Outbound;
  /** One for all: frames are copied or sent before the next is written. */
  readonly frames: FrameWriter;
  readonly heartbeatMs: number;
  readonly deadAfterMs: number;
  /** What `opened` tells clients, but for `maxInFlight`. */
  readonly limits: Limits;
  /** Whether a client with this token may use the server. */
  authorize(token: string): boolean;
  /** Notes something a client did wrong; the log must not be flooded by it. */
  misbehaved(what: string): void;
}
