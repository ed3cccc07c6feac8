/** When to come back after a lost connection: exponential back-off with jitter. */
import { TinyMQError } from "../errors.ts";
import { type Duration, parseDuration } from "../wire/units.ts";

/** How to reconnect. */
export interface ReconnectOptions {
  /** Before the first attempt; it doubles from there. Default 100 ms. */
  minDelay?: Duration;
  /** The longest wait between two attempts. Default 10 s. */
  maxDelay?: Duration;
  /** After so many failed attempts in a row the connection is dead. Default: no limit. */
  attempts?: number;
  /** How much of each delay is left to chance, 0 to 1. Default 0.5: half of it to all of it. */
  jitter?: number;
  /** Whether `initConn()`, too, goes on trying. Default false: it fails at the first refusal. */
  initial?: boolean;
}

/** `ReconnectOptions`, checked; delays in ms. */
export interface ReconnectPolicy {
  readonly minDelay: number;
  readonly maxDelay: number;
  readonly attempts: number;
  readonly jitter: number;
  readonly initial: boolean;
}

/** The policy of an option; undefined: do not reconnect. Throws INVALID_ARGUMENT. */
export function reconnectPolicy(option: boolean | ReconnectOptions | undefined): ReconnectPolicy | undefined {
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
