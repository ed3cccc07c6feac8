/**
 * What a program says when it makes a producer, consumer or subscriber, and when it sends or polls; and its
 * checks.
 */
import { TinyMQError } from "../errors.ts";
import { ConsumeMode, Delivery } from "../gen/tinymq/v1/queue.ts";
import { type Clock, SYSTEM_CLOCK } from "../wire/clock.ts";
import type { Headers } from "../wire/encode.ts";
import { checkTopicName } from "../wire/topic-name.ts";
import { type Duration, parseDuration, type Size } from "../wire/units.ts";
import type { Decoder, Encoder } from "./codecs.ts";
import { type ReconnectOptions, reconnectPolicy } from "./reconnect.ts";
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
   * The server drops a message whose id this topic accepted less than this long ago. Default: it drops
   * none.
   */
  unique?: Duration;
  /** Maximum unacknowledged bytes; above it, `send()` fails with `SendBufferFull`. Default 64 MiB. */
  maxUnacknowledged?: Size;
  /** How long `close()` waits for acknowledgements. Default 5 s. */
  closeTimeout?: Duration;
}

/** Options of one send, or of all messages of one `sendBatch`. */
export interface SendOptions {
  headers?: Headers;
  /** Deliver the message after this time, not before. Default: at once. */
  delay?: Duration;
  /** The message expires after this time. Default: never. */
  ttl?: Duration;
}

/** One message of `sendBatch`. */
export interface OutgoingMessage<T = string> {
  body: T;
  /** An integer from 0 to 2^53-1. Default: the next of the producer's own numbers. */
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
  /** Maximum unsettled messages held by this consumer. Default 2,048; in shared mode 64. */
  prefetch?: number;
  /** Whether the next `poll()` or step of a loop acknowledges the message before it. Default true. */
  autoAck?: boolean;
}

/** Options of one poll. */
export interface PollOptions {
  /** How long to wait for a message. Default: not at all. */
  wait?: Duration;
}

/** Options of a retry. */
export interface RetryOptions {
  /** Deliver the message again after this time, not before. Default: at once. */
  delay?: Duration;
  /** Why. The server does not keep it. */
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
}

/** `ConnectionOptions` and the address, checked. */
export type ConnectionSettings = Readonly<ReturnType<typeof connectionSettings>>;

/** Throws INVALID_ARGUMENT or `InvalidTopic`. */
export function connectionSettings(host: string, port: number, topic: string, options: ConnectionOptions) {
  if (typeof host !== "string" || host === "") throw invalid("the host is missing");
  if (!Number.isInteger(port) || port < 1 || port > 65_535) {
    throw invalid(`a port is 1 to 65535, not ${String(port)}`);
  }
  checkTopicName(topic);
  return {
    host,
    port,
    topic,
    token: options.token ?? "",
    tls: options.tls ?? false,
    signal: options.signal,
    reconnect: reconnectPolicy(options.reconnect),
    connectTimeoutMs: parseDuration(options.connectTimeout ?? 10_000, "connectTimeout"),
    onStateChange: options.onStateChange,
    clock: options.internals?.clock ?? SYSTEM_CLOCK,
    random: options.internals?.random ?? Math.random,
    openSocket: options.internals?.openSocket,
  };
}

const DELIVERIES = new Map([
  ["queue", Delivery.QUEUE],
  ["broadcast", Delivery.BROADCAST],
]);
const MODES = new Map([
  ["exclusive", ConsumeMode.EXCLUSIVE],
  ["standby", ConsumeMode.STANDBY],
  ["shared", ConsumeMode.SHARED],
]);

/** The option `delivery` on the wire. Throws INVALID_ARGUMENT for anything else. */
export function deliveryOf(delivery = "queue"): Delivery {
  return choice(DELIVERIES, delivery, "delivery");
}

/** The option `mode` on the wire. Throws INVALID_ARGUMENT for anything else. */
export function modeOf(mode = "exclusive"): ConsumeMode {
  return choice(MODES, mode, "mode");
}

/** An option that counts something. Throws INVALID_ARGUMENT naming `what` unless it is an integer from 1. */
export function countFrom1(count: number, what: string): number {
  if (Number.isSafeInteger(count) && count >= 1) return count;
  throw invalid(`${what} is an integer from 1, not ${String(count)}`);
}

/** Milliseconds of an optional duration; 0 if it is left out. Throws INVALID_ARGUMENT naming `what`. */
export function milliseconds(duration: Duration | undefined, what: string): number {
  if (duration === undefined) return 0;
  // Numbers are the hot case: an option of every send.
  if (typeof duration === "number" && Number.isSafeInteger(duration) && duration >= 0) return duration;
  return parseDuration(duration, what);
}

/** 16 random bytes, which name a producer or consumer over all of its connections. */
export function randomId(): Uint8Array {
  return crypto.getRandomValues(new Uint8Array(16));
}

function choice<T>(choices: ReadonlyMap<string, T>, given: string, what: string): T {
  const chosen = choices.get(given);
  if (chosen !== undefined) return chosen;
  const names = [...choices.keys()].map((name) => `"${name}"`).join(" or ");
  throw invalid(`${what} is ${names}, not ${String(given)}`);
}

function invalid(message: string): TinyMQError {
  return new TinyMQError("INVALID_ARGUMENT", message);
}
