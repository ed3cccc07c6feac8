/** When to reconnect after a lost connection: exponential backoff with jitter. */
import { TinyMQError } from "../errors.ts";
import { type Duration, parseDuration } from "../wire/units.ts";
import { ANY, checkOptions, FLAG, type Kinds } from "./check.ts";

const RECONNECT: Kinds = { minDelay: ANY, maxDelay: ANY, attempts: ANY, jitter: ANY, initial: FLAG };

/** How to reconnect after a lost connection. */
export interface ReconnectOptions {
  /** Delay before the first attempt; it doubles with each failed one, from 1 ms if it is 0. Default 100 ms. */
  minDelay?: Duration;
  /** Longest delay between two attempts, not below `minDelay`. Default 10 s, or `minDelay` if that is longer. */
  maxDelay?: Duration;
  /** The connection is dead after this many failed attempts in a row. Default: no limit. */
  attempts?: number;
  /** Random share of each delay, 0 to 1. Default 0.5: each delay is between half and all of its length. */
  jitter?: number;
  /** Whether `initConn()` retries as well. Default false: it fails at the first refusal. */
  initial?: boolean;
}

/** `ReconnectOptions`, checked; delays in ms. */
export type ReconnectPolicy = Readonly<NonNullable<ReturnType<typeof reconnectPolicy>>>;

/** The policy of an option; undefined: do not reconnect. Throws INVALID_ARGUMENT. */
export function reconnectPolicy(option: boolean | ReconnectOptions | undefined) {
  if (option === undefined || option === false) return undefined;
  const given = option === true ? {} : option;
  checkOptions(given, "reconnect options", RECONNECT, '{ maxDelay: "5s" }, or true');
  const minDelay = parseDuration(given.minDelay ?? 100, "reconnect.minDelay");
  const policy = {
    minDelay,
    maxDelay: parseDuration(given.maxDelay ?? Math.max(10_000, minDelay), "reconnect.maxDelay"),
    attempts: given.attempts ?? Number.POSITIVE_INFINITY,
    jitter: given.jitter ?? 0.5,
    initial: given.initial ?? false,
  };
  if (policy.maxDelay < Math.max(1, policy.minDelay)) {
    throw new TinyMQError(
      "INVALID_ARGUMENT",
      "reconnect.maxDelay must be at least 1 ms, and at least reconnect.minDelay",
    );
  }
  if (!(policy.attempts >= 0))
    throw new TinyMQError("INVALID_ARGUMENT", "reconnect.attempts must be 0 or more");
  if (!(policy.jitter >= 0 && policy.jitter <= 1)) {
    throw new TinyMQError("INVALID_ARGUMENT", "reconnect.jitter must be 0 to 1");
  }
  return policy;
}

/** The delay in ms before the next attempt, after `failures` failed ones in a row; `chance` is 0 to 1. */
export function delayBefore(policy: ReconnectPolicy, failures: number, chance: number): number {
  // At least 1 ms after a failure: doubling 0 would reconnect in a busy loop.
  const first = failures === 0 ? policy.minDelay : Math.max(1, policy.minDelay);
  const delay = Math.min(policy.maxDelay, first * 2 ** Math.min(failures, 30));
  return delay * (1 - policy.jitter * chance);
}
