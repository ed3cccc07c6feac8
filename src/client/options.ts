/**
 * What a program says when it makes a producer, consumer or subscriber, and when it sends or polls. What is not among
 * it is INVALID_ARGUMENT.
 */
import type { TinyMQError } from "../errors.ts";
import type { Clock } from "../wire/clock.ts";
import type { Headers } from "../wire/encode.ts";
import type { Duration, Size } from "../wire/units.ts";
import type { Decoder, Encoder } from "./codecs.ts";
import type { ReconnectOptions } from "./reconnect.ts";
import type { OpenSocket, TlsOptions } from "./sockets/socket.ts";

/**
 * The state of a connection: `idle` before `initConn()`, or after it failed; `connecting`; `standby`
 * connected, a consumer in line for the topic's lock; `open`; `reconnecting` lost, and trying again;
 * `closed` for good.
 */
export type ConnectionState = "idle" | "connecting" | "standby" | "open" | "reconnecting" | "closed";

/** Options of producers, consumers and subscribers. */
export interface ConnectionOptions {
  /** The server's token, if it requires one. */
  token?: string;
  /** Connect with TLS (wss); an object says which certificates count (not in browsers). Default false. */
  tls?: boolean | TlsOptions;
  /** Closes the connection when aborted; pending calls then reject with CANCELLED. */
  signal?: AbortSignal;
  /**
   * Connect again when the connection is lost. Default false: every later call throws `DeadConnectionUsed`.
   */
  reconnect?: boolean | ReconnectOptions;
  /** Time limit for opening the connection. Default 10 s. */
  connectTimeout?: Duration;
  /** Called after each change; `error` says why it is `reconnecting` or, if not by `close()`, `closed`. */
  onStateChange?: (state: ConnectionState, error: TinyMQError | undefined) => void;
  /** @internal For tests. */
  internals?: { clock?: Clock; random?: () => number; openSocket?: OpenSocket };
}

/** Options of a producer. */
export interface ProducerOptions<T = string> extends ConnectionOptions {
  /** Encodes bodies. Default `text`: bodies are strings. */
  codec?: Encoder<T>;
  /** `queue` (default): stored until consumed. `broadcast`: not stored, only sent to current subscribers. */
  delivery?: "queue" | "broadcast";
  /**
   * The server drops a message whose id this topic accepted less than this long ago. Every message then needs
   * an id. Default: it drops none.
   */
  unique?: Duration;
  /** Maximum unacknowledged bytes, at least 1; above it, `send()` fails with `SendBufferFull`. Default 64 MiB. */
  maxUnacknowledged?: Size;
  /** How long `close()` waits for acknowledgements. Default 5 s. */
  closeTimeout?: Duration;
}

/** Options of one send, or of all messages of one `sendBatch`. */
export interface SendOptions {
  headers?: Headers;
  /** Deliver the message after this time, not before. Default: at once. */
  delay?: Duration;
  /** The message expires after this time, above 0. Default: never. */
  ttl?: Duration;
}

/** One message of `sendBatch`. */
export interface OutgoingMessage<T = string> {
  body: T;
  /** An integer from 0 to 2^53-1. Default, without `unique`: the next of the producer's own numbers. */
  id?: number;
  headers?: Headers;
}

/** Options of a consumer. */
export interface ConsumerOptions<T = string> extends ConnectionOptions {
  /** Decodes bodies. Default `text`: bodies are strings. */
  codec?: Decoder<T>;
  /**
   * `exclusive` (default): the topic's only consumer; `initConn()` throws `InitFailed` if there is another.
   * `standby`: waits in line for that place. `shared`: competes with other shared consumers.
   */
  mode?: "exclusive" | "standby" | "shared";
  /**
   * Maximum unsettled messages held by this consumer. Default 2,048; in shared mode no more than it can use soon,
   * so that others get theirs.
   */
  prefetch?: number;
  /** Maximum unsettled bytes held by this consumer, but always one message. Default 16 MiB. */
  prefetchBytes?: Size;
  /** Whether the next `poll()` or step of a loop acknowledges the message before it. Default true. */
  autoAck?: boolean;
  /**
   * Called with each message whose body the codec refuses, and why. It goes to the dead-letter topic, and the loop or
   * poll goes on with the next one.
   */
  onInvalid?: (error: TinyMQError, message: InvalidMessage) => void;
}

/** A message whose body the codec refused. */
export interface InvalidMessage {
  readonly id: number;
  /** An object without a prototype. */
  readonly headers: Headers;
}

/** Options of one poll. */
export interface PollOptions {
  /** How long to wait for a message, whatever the connection does. Default: not at all. */
  wait?: Duration;
}

/** Options of `stop()`. */
export interface StopOptions {
  /** How long it waits for messages in hand and for the server. Default 30 s. */
  timeout?: Duration;
}

/** Options of a retry. */
export interface RetryOptions {
  /** Deliver the message again after this time, not before. Default: at once. */
  delay?: Duration;
  /** Why. Kept for the case that this was the last try that `max-deliveries` allows: in the dead letter's headers. */
  reason?: string;
}

/** Options of a subscriber. */
export interface SubscriberOptions<T = string> extends ConnectionOptions {
  /** Decodes bodies. Default `text`: bodies are strings. */
  codec?: Decoder<T>;
  /**
   * Maximum messages that wait for a slow loop; beyond it the oldest are dropped, and `missed`. Default
   * 10,000.
   */
  buffer?: number;
  /** Called with each message whose body the codec refuses, and why. It counts as missed, and the loop goes on. */
  onInvalid?: (error: TinyMQError, message: InvalidMessage) => void;
}
