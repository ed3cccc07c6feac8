/** When to connect again after a lost connection: exponential back-off with jitter. */
import { TinyMQError } from "../errors.ts";
import { type Duration, parseDuration } from "../wire/units.ts";

/** When to connect again after a lost connection. */
export interface ReconnectOptions {
  /** Delay before the first attempt; it doubles with each failed one. Default 100 ms. */
  minDelay?: Duration;
  /** Longest delay between two attempts. Default 10 s. */
  maxDelay?: Duration;
  /** The connection is dead after this many failed attempts in a row. Default: no limit. */
  attempts?: number;
  /** Random share of each delay, 0 to 1. Default 0.5: each delay is between half and all of its length. */
  jitter?: number;
  /** Whether `initConn()` tries again, too. Default false: it fails at the first refusal. */
  initial?: boolean;
}

/** `ReconnectOptions`, checked; delays in ms. */
export type ReconnectPolicy = Readonly<NonNullable<ReturnType<typeof reconnectPolicy>>>;

/** The policy of an option; undefined: do not reconnect. Throws INVALID_ARGUMENT. */
export function reconnectPolicy(option: boolean | ReconnectOptions | undefined) {
  if (option === undefined || option === false) return undefined;
  const given = option === true ? {} : option;
  const policy = {
    minDelay: parseDuration(given.minDelay ?? 100, "reconnect.minDelay"),
    maxDelay: parseDuration(given.maxDelay ?? 10_000, "reconnect.maxDelay"),
    attempts: given.attempts ?? Number.POSITIVE_INFINITY,
    jitter: given.jitter ?? 0.5,
    initial: given.initial ?? false,
  };
  if (!(policy.attempts >= 0)) throw new TinyMQError("INVALID_ARGUMENT", "reconnect.attempts is 0 or more");
  if (!(policy.jitter >= 0 && policy.jitter <= 1)) {
    throw new TinyMQError("INVALID_ARGUMENT", "reconnect.jitter is 0 to 1");
  }
  return policy;
}

/** Milliseconds before attempt number `failures + 1`, `failures` being those in a row; `chance` is 0 to 1. */
export function delayBefore(policy: ReconnectPolicy, failures: number, chance: number): number {
  const delay = Math.min(policy.maxDelay, policy.minDelay * 2 ** Math.min(failures, 30));
  return delay * (1 - policy.jitter * chance);
}
