/** Checks options where a program passes them, once each, and fills in defaults. */
import { ConsumeMode, Delivery } from "../gen/tinymq/v1/queue.ts";
import { SYSTEM_CLOCK } from "../wire/clock.ts";
import { checkTopicName } from "../wire/topic-name.ts";
import { type Duration, parseDuration, parseSize, type Size } from "../wire/units.ts";
import {
  ANY,
  checkOptions,
  describe,
  FLAG,
  FUNCTION,
  invalid,
  type Kind,
  type Kinds,
  TEXT,
} from "./check.ts";
import type { Decoder, Encoder } from "./codecs.ts";
import type { ConnectionOptions, PollOptions, RetryOptions, SendOptions, StopOptions } from "./options.ts";
import { reconnectPolicy } from "./reconnect.ts";

const DURATION: Kind = {
  name: 'a duration such as 250, "1.5s" or "10m"',
  is: (value) => typeof value === "number" || typeof value === "string",
};
const SIGNAL: Kind = {
  name: "an AbortSignal",
  is: (value) => typeof (value as AbortSignal | null)?.addEventListener === "function",
};
const ENCODER: Kind = {
  name: "a codec such as text, bytes or json()",
  is: (value) => typeof (value as Encoder<unknown> | null)?.encode === "function",
};
const DECODER: Kind = {
  name: ENCODER.name,
  is: (value) => typeof (value as Decoder<unknown> | null)?.decode === "function",
};

const CONNECTION: Kinds = {
  token: TEXT,
  tls: { name: "true, false or an object", is: (value) => typeof value === "boolean" || isObject(value) },
  signal: SIGNAL,
  reconnect: ANY,
  connectTimeout: DURATION,
  onStateChange: FUNCTION,
  internals: ANY,
};
const PRODUCER: Kinds = {
  codec: ENCODER,
  delivery: ANY,
  unique: DURATION,
  maxUnacknowledged: ANY,
  closeTimeout: DURATION,
  ...CONNECTION,
};
const CONSUMER: Kinds = {
  codec: DECODER,
  mode: ANY,
  prefetch: ANY,
  prefetchBytes: ANY,
  autoAck: FLAG,
  onInvalid: FUNCTION,
  ...CONNECTION,
};
const SUBSCRIBER: Kinds = { codec: DECODER, buffer: ANY, onInvalid: FUNCTION, ...CONNECTION };
const TLS: Kinds = { ca: ANY, cert: TEXT, key: TEXT, rejectUnauthorized: FLAG };
const SEND: Kinds = { headers: ANY, delay: DURATION, ttl: DURATION };
const POLL: Kinds = { wait: DURATION };
const STOP: Kinds = { timeout: DURATION };
const RETRY: Kinds = { delay: DURATION, reason: TEXT };

/** The address and `ConnectionOptions`, checked and with defaults. */
export type ConnectionSettings = Readonly<ReturnType<typeof connectionSettings>>;

/** Throws INVALID_ARGUMENT or `InvalidTopic`. `kind` names whose options they are. */
export function connectionSettings(
  kind: "producer" | "consumer" | "subscriber",
  host: string,
  port: number,
  topic: string,
  options: ConnectionOptions,
) {
  checkHost(host);
  checkPort(port);
  checkTopicName(topic);
  const kinds = { producer: PRODUCER, consumer: CONSUMER, subscriber: SUBSCRIBER }[kind];
  checkOptions(options, `options of a ${kind}`, kinds, '{ token: "secret" }');
  const { tls = false } = options;
  checkTls(tls);
  return {
    host,
    port,
    topic,
    token: options.token ?? "",
    tls,
    signal: options.signal,
    reconnect: reconnectPolicy(options.reconnect),
    connectTimeoutMs: millisecondsFrom1(options.connectTimeout ?? 10_000, "connectTimeout"),
    onStateChange: options.onStateChange,
    clock: options.internals?.clock ?? SYSTEM_CLOCK,
    random: options.internals?.random ?? Math.random,
    openSocket: options.internals?.openSocket,
  };
}

/** Throws INVALID_ARGUMENT unless `host` is a host name or an address; a URL is neither. */
export function checkHost(host: string): void {
  if (host === "") throw invalid("the host is missing");
  const wanted = 'the host must be a name or address such as "localhost"';
  if (typeof host !== "string") throw invalid(`${wanted}, not ${describe(host)}`);
  const bare = host.startsWith("[") ? host.slice(1, -1) : host;
  if (/[^\p{L}\p{N}.:%_-]/u.test(bare)) throw invalid(`${wanted}, not ${describe(host)}`);
  if (/^[^:]*:[^:]*$/.test(bare))
    throw invalid(`${wanted}, not ${describe(host)}: the port is a separate argument`);
}

/** Throws INVALID_ARGUMENT unless `port` is a port number. */
export function checkPort(port: number): void {
  if (Number.isInteger(port) && port >= 1 && port <= 65_535) return;
  throw invalid(`the port must be 1 to 65535, not ${describe(port)}`);
}

/** Throws INVALID_ARGUMENT for unknown TLS options. */
export function checkTls(tls: unknown): void {
  if (typeof tls !== "boolean") checkOptions(tls, "tls options", TLS, "{ ca: certificate }");
}

/** Checks the options of `send()` and `sendBatch()`. Throws INVALID_ARGUMENT. */
export function checkSendOptions(options: SendOptions | undefined): void {
  checkOptions(options, "send options", SEND, '{ delay: "1s" }');
}

/** Checks the options of `poll()`. Throws INVALID_ARGUMENT. */
export function checkPollOptions(options: PollOptions | undefined): void {
  checkOptions(options, "poll options", POLL, '{ wait: "5s" }');
}

/** Checks the options of `stop()`. Throws INVALID_ARGUMENT. */
export function checkStopOptions(options: StopOptions | undefined): void {
  checkOptions(options, "stop options", STOP, '{ timeout: "10s" }');
}

/** Checks the options of `retry()`. Throws INVALID_ARGUMENT. */
export function checkRetryOptions(options: RetryOptions | undefined): void {
  checkOptions(options, "retry options", RETRY, '{ delay: "1s" }');
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

/** The wire value of the option `delivery`. Throws INVALID_ARGUMENT for an unknown one. */
export function deliveryOf(delivery = "queue"): Delivery {
  return choice(DELIVERIES, delivery, "delivery");
}

/** The wire value of the option `mode`. Throws INVALID_ARGUMENT for an unknown one. */
export function modeOf(mode = "exclusive"): ConsumeMode {
  return choice(MODES, mode, "mode");
}

/** Checks an option that is a count. Throws INVALID_ARGUMENT naming `what` unless it is an integer from 1. */
export function countFrom1(count: number, what: string): number {
  if (Number.isSafeInteger(count) && count >= 1) return count;
  throw invalid(`${what} must be an integer from 1, not ${describe(count)}`);
}

/** A size in bytes. Throws INVALID_ARGUMENT naming `what` unless it is at least 1. */
export function sizeFrom1(size: Size, what: string): number {
  return countFrom1(parseSize(size, what), what);
}

/** An optional duration in ms; 0 if it is left out. Throws INVALID_ARGUMENT naming `what`. */
export function milliseconds(duration: Duration | undefined, what: string): number {
  if (duration === undefined) return 0;
  // Fast path: this runs for every send.
  if (typeof duration === "number" && Number.isSafeInteger(duration) && duration >= 0) return duration;
  return parseDuration(duration, what);
}

/**
 * Like `milliseconds`, but throws INVALID_ARGUMENT for an explicit 0 as well: on the wire 0 means that the option is
 * not set, which is not what the program asked for.
 */
export function millisecondsFrom1(duration: Duration | undefined, what: string): number {
  const ms = milliseconds(duration, what);
  if (ms > 0 || duration === undefined) return ms;
  throw invalid(`${what} must be a duration above 0, not ${describe(duration)}; leave it out instead`);
}

/** 16 random bytes that identify a producer or consumer across all of its connections. */
export function randomId(): Uint8Array {
  return crypto.getRandomValues(new Uint8Array(16));
}

function isObject(value: unknown): boolean {
  return typeof value === "object" && value !== null;
}

function choice<T>(choices: ReadonlyMap<string, T>, given: string, what: string): T {
  const chosen = choices.get(given);
  if (chosen !== undefined) return chosen;
  const names = [...choices.keys()].map((name) => `"${name}"`).join(" or ");
  throw invalid(`${what} must be ${names}, not ${describe(given)}`);
}
