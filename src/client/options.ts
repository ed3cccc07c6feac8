/**
 * What a program passes when it makes a producer, consumer or subscriber, and when it sends or polls. An option that
 * is not here, or of a wrong type, is INVALID_ARGUMENT.
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
  /** The server's token, if it has one. Default: none. */
  token?: string;
  /** Connect with TLS (wss); an object names certificates (not in browsers). Default false. */
  tls?: boolean | TlsOptions;
  /** Closes the connection when aborted; pending and later calls then reject with CANCELLED. */
  signal?: AbortSignal;
  /** Connect again when the connection is lost. Default false: every later call throws `DeadConnectionUsed`. */
  reconnect?: boolean | ReconnectOptions;
  /** Time limit of each attempt to connect; beyond it `initConn()` throws `InitFailed`, UNAVAILABLE. Default 10 s. */
  connectTimeout?: Duration;
  /**
   * Called after each change, and after each failed attempt of `reconnect.initial`. `error` is why it failed, is
   * `reconnecting`, `idle` again, or `closed` without `close()`.
   */
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
   * For this long, above 0, the topic takes each id once: a message with an id that it took is acknowledged and not
   * stored. Every message then needs an id. Default: ids are not looked at.
   */
  unique?: Duration;
  /** Unacknowledged bytes, at least 1, from which on `send()` fails with `SendBufferFull`. Default 64 MiB. */
  maxUnacknowledged?: Size;
  /** How long `close()` waits for acknowledgements. Default 5 s. */
  closeTimeout?: Duration;
}

/** Options of one send, or of all messages of one `sendBatch`. */
export interface SendOptions {
  /** Text to text. Of `sendBatch()`: for messages without headers of their own. Default: none. */
  headers?: Headers;
  /** Deliver the message after this time, not before. Default: at once. */
  delay?: Duration;
  /** It expires if it is not delivered within this time, above 0. Default: the server's `default-ttl`, or never. */
  ttl?: Duration;
}

/** One message of `sendBatch`. */
export interface OutgoingMessage<T = string> {
  /** What the codec takes: text by default. */
  body: T;
  /** An integer from 0 to 2^53-1. Default: the next of the producer's own, from 0; with `unique` there is none. */
  id?: number;
  /** Text to text. Default: those of the batch's options. */
  headers?: Headers;
}

/** Options of a consumer. */
export interface ConsumerOptions<T = string> extends ConnectionOptions {
  /** Decodes bodies. Default `text`: bodies are strings. */
  codec?: Decoder<T>;
  /**
   * `exclusive` (default): the topic's only consumer; `initConn()` throws `InitFailed` if there is another.
   * `standby`: waits in line for that place. `shared`: each message goes to one of several shared consumers.
   */
  mode?: "exclusive" | "standby" | "shared";
  /**
   * Maximum unsettled messages held by this consumer, at least 1. Default 2,048, and in shared mode no more of them
   * than it can use soon, so that others get theirs.
   */
  prefetch?: number;
  /** Maximum unsettled bytes held by this consumer, at least 1, but always one message. Default 16 MiB. */
  prefetchBytes?: Size;
  /** Whether the next `poll()` or step of a loop acknowledges the message before it. Default true. */
  autoAck?: boolean;
  /**
   * Called with each message whose body the codec refuses, and why (DATA_LOSS). It goes to the dead-letter topic, and
   * the loop or poll goes on with the next one.
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
  /** How long to wait for a message at most, whatever the connection does. Default: not at all. */
  wait?: Duration;
}

/** Options of `stop()`. */
export interface StopOptions {
  /** How long it waits for messages in hand and for the server, together. Default 30 s. */
  timeout?: Duration;
}

/** Options of a retry. */
export interface RetryOptions {
  /**
   * Deliver the message again after this time, not before; in exclusive and standby mode at most 24 h. Default: at
   * once.
   */
  delay?: Duration;
  /** Why, at most 1,024 bytes: in the dead letter's headers if `max-deliveries` allows no further try. */
  reason?: string;
}

/** Options of a subscriber. */
export interface SubscriberOptions<T = string> extends ConnectionOptions {
  /** Decodes bodies. Default `text`: bodies are strings. */
  codec?: Decoder<T>;
  /**
   * Messages that wait for a slow loop, at most, and at least 1; beyond that, and beyond 64 MiB, the oldest are
   * dropped and count as `missed`. Default 10,000.
   */
  buffer?: number;
  /** Called with each message whose body the codec refuses, and why. It counts as missed, and the loop goes on. */
  onInvalid?: (error: TinyMQError, message: InvalidMessage) => void;
}
