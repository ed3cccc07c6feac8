/** What a program says when it makes a producer, and when it sends. */
import { TinyMQError } from "../errors.ts";
import { Delivery } from "../gen/tinymq/v1/queue.ts";
import type { Headers } from "../wire/encode.ts";
import { MiB } from "../wire/limits.ts";
import type { Duration, Size } from "../wire/units.ts";
import type { Encoder } from "./codecs.ts";
import type { ConnectionOptions } from "./connection-options.ts";

/** Bytes. */
export const DEFAULT_MAX_UNACKNOWLEDGED = 64 * MiB;
/** Of `closeTimeout`. */
export const DEFAULT_CLOSE_TIMEOUT_MS = 5_000;

/** Options of a producer. */
export interface ProducerOptions<T = string> extends ConnectionOptions {
  /** What bodies are. Default `text`: strings. */
  codec?: Encoder<T>;
  /** `queue`: stored until consumed (default). `broadcast`: only handed to who is subscribed now. */
  delivery?: "queue" | "broadcast";
  /** The server drops a message whose id it took on this topic less than this long ago. Default: it does not. */
  unique?: Duration;
  /** Bytes that may be unacknowledged; beyond, `send()` fails with `SendBufferFull`. Default 64 MiB. */
  maxUnacknowledged?: Size;
  /** How long `close()` waits for acknowledgements. Default 5 s. */
  closeTimeout?: Duration;
}

/** Options of one send, or of all messages of one `sendBatch`. */
export interface SendOptions {
  headers?: Headers;
  /** Not delivered before this much time is over. */
  delay?: Duration;
  /** Not delivered after this much time is over. */
  ttl?: Duration;
}

/** One message of `sendBatch`. */
export interface OutgoingMessage<T = string> {
  body: T;
  /** Left out: the producer numbers it. */
  id?: number;
  headers?: Headers;
}

/** The wire's word for the option `delivery`. Throws INVALID_ARGUMENT for what is none. */
export function deliveryOf(delivery: "queue" | "broadcast" | undefined): Delivery {
  if (delivery === undefined || delivery === "queue") return Delivery.QUEUE;
  if (delivery === "broadcast") return Delivery.BROADCAST;
  throw new TinyMQError("INVALID_ARGUMENT", `delivery is "queue" or "broadcast", not ${String(delivery)}`);
}
