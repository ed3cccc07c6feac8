/** What producers, consumers and subscribers have in common: how to connect. */

import { TinyMQError } from "../errors.ts";
import { type Clock, SYSTEM_CLOCK } from "../wire/clock.ts";
import { checkTopicName } from "../wire/topic-name.ts";
import { type Duration, parseDuration } from "../wire/units.ts";
import { type ReconnectOptions, type ReconnectPolicy, reconnectPolicy } from "./reconnect.ts";
import type { OpenSocket, TlsOptions } from "./sockets/socket.ts";

/**
 * How a connection is:
 * `idle` not asked for yet; `connecting` asked for, not there yet; `standby` open, a consumer in line for
 * the lock; `open`; `reconnecting` lost, and tried again; `closed` for good.
 */
export type ConnectionState = "idle" | "connecting" | "standby" | "open" | "reconnecting" | "closed";

/** Options of every kind of connection. */
export interface ConnectionOptions {
  /** The server's token, where it asks for one. */
  token?: string;
  /** wss instead of ws; an object says which certificates count (not in browsers). */
  tls?: boolean | TlsOptions;
  /** Ends the connection at once; what waits then rejects with CANCELLED. */
  signal?: AbortSignal;
  /** Come back after a lost connection. Default false: the connection is then dead. */
  reconnect?: boolean | ReconnectOptions;
  /** How long opening may take before it fails. Default 10 s. */
  connectTimeout?: Duration;
  /** Called after each change; `error` says why it is `reconnecting` or, if not by `close()`, `closed`. */
  onStateChange?: (state: ConnectionState, error: TinyMQError | undefined) => void;
  /** @internal For tests. */
  internals?: { clock?: Clock; random?: () => number; openSocket?: OpenSocket };
}

/** `ConnectionOptions` and the address, checked. */
export interface ConnectionSettings {
  readonly host: string;
  readonly port: number;
  readonly topic: string;
  readonly token: string;
  readonly tls: boolean | TlsOptions;
  readonly signal: AbortSignal | undefined;
  readonly reconnect: ReconnectPolicy | undefined;
  readonly connectTimeoutMs: number;
  readonly onStateChange: ConnectionOptions["onStateChange"];
  readonly clock: Clock;
  readonly random: () => number;
  readonly openSocket: OpenSocket | undefined;
}

/** Throws INVALID_ARGUMENT or `InvalidTopic`. */
export function connectionSettings(
  host: string,
  port: number,
  topic: string,
  options: ConnectionOptions,
): ConnectionSettings {
  if (typeof host !== "string" || host === "")
    throw new TinyMQError("INVALID_ARGUMENT", "the host is missing");
  if (!Number.isInteger(port) || port < 1 || port > 65_535) {
    throw new TinyMQError("INVALID_ARGUMENT", `a port is 1 to 65535, not ${String(port)}`);
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

/** 16 random bytes, which name a producer or consumer over all of its connections. */
export function randomId(): Uint8Array {
  return crypto.getRandomValues(new Uint8Array(16));
}

/** Milliseconds of an optional duration; 0 if it is left out. Throws INVALID_ARGUMENT naming `what`. */
export function milliseconds(duration: Duration | undefined, what: string): number {
  if (duration === undefined) return 0;
  // Numbers are the hot case: an option of every send.
  if (typeof duration === "number" && Number.isSafeInteger(duration) && duration >= 0) return duration;
  return parseDuration(duration, what);
}
