/** The way of a batch into a topic: limits, options, and then the log, the delays or the subscribers. */
import { chain, type MaybePromise } from "../engine/engine.ts";
import { TinyMQError } from "../errors.ts";
import { Delays } from "./delays.ts";
import type { BatchOptions } from "./ports.ts";
import type { Topic } from "./topic.ts";
import { UniqueIds } from "./unique.ts";

export const NO_OPTIONS: BatchOptions = { delayMs: 0, ttlMs: 0, uniqueMs: 0 };

/** Longer than anybody waits, short enough to be added to any clock. */
const LONGEST_MS = 100 * 365 * 86_400_000;

/** Takes a checked batch into a queue topic. Throws, or rejects, where it is not taken. */
export function acceptQueued(
  topic: Topic,
  batch: Uint8Array,
  count: number,
  options: BatchOptions,
): MaybePromise<void> {
  if (options.uniqueMs > 0) return acceptUnique(topic, batch, count, options);
  return keep(topic, batch, count, options);
}

/** Hands a checked batch to the subscribers of a topic, and keeps nothing. */
export function acceptBroadcast(topic: Topic, batch: Uint8Array, count: number, options: BatchOptions): void {
  if (options.delayMs > 0 || options.ttlMs > 0 || options.uniqueMs > 0) {
    throw new TinyMQError(
      "INVALID_ARGUMENT",
      "a broadcast message is not stored: delay, ttl and unique are for delivery queue",
    );
  }
  topic.publish(batch, count);
}

function acceptUnique(topic: Topic, batch: Uint8Array, count: number, options: BatchOptions): MaybePromise<void> {
  topic.unique ??= new UniqueIds(topic);
  const { unique } = topic;
  const filtered = unique.filter(batch, count);
  topic.count("duplicates", count - filtered.count);
  if (filtered.count === 0) return;
  // Remembered before the answer of an engine that takes its time: the next batch must see them.
  unique.remember(filtered.ids, Math.min(options.uniqueMs, LONGEST_MS));
  const forget = (error: unknown): never => {
    unique.forget(filtered.ids);
    throw error;
  };
  try {
    const kept = keep(topic, filtered.batch, filtered.count, options);
    return kept instanceof Promise ? kept.catch(forget) : kept;
  } catch (error) {
    return forget(error);
  }
}

function keep(topic: Topic, batch: Uint8Array, count: number, options: BatchOptions): MaybePromise<void> {
  const { host } = topic;
  const ttlMs = effectiveTtl(topic, options.ttlMs);
  if (options.delayMs > 0) {
    const now = host.clock.now();
    const due = now + Math.min(options.delayMs, LONGEST_MS);
    const expires = ttlMs > 0 ? now + ttlMs : Number.POSITIVE_INFINITY;
    const opened = delaysOf(topic);
    // The bytes are the socket's: they are good only until control returns to it.
    const own = opened instanceof Promise ? batch.slice() : batch;
    return chain(opened, (delays) => {
      host.makeRoom(topic, delays.log, own.length);
      return chain(delays.add(own, count, due, expires), () => topic.count("produced", count));
    });
  }
  host.makeRoom(topic, topic.log, batch.length);
  return chain(topic.store(batch, count, ttlMs), () => {
    topic.count("produced", count);
    topic.publish(batch, count);
  });
}

/** The delays of a topic, made on first use. */
export function delaysOf(topic: Topic): MaybePromise<Delays> {
  const existing = topic.delays ?? topic.openingDelays;
  if (existing !== null) return existing;
  const opened = chain(topic.host.openDelayedLog(topic.name), (log) => {
    topic.delays = new Delays(topic, log);
    return topic.delays;
  });
  if (!(opened instanceof Promise)) return opened;
  topic.openingDelays = opened.finally(() => {
    topic.openingDelays = null;
  });
  return topic.openingDelays;
}

function effectiveTtl(topic: Topic, wantedMs: number): number {
  const { defaultTtlMs, maxTtlMs } = topic.host.limits;
  const wanted = wantedMs > 0 ? wantedMs : defaultTtlMs;
  const limited = maxTtlMs > 0 && (wanted === 0 || wanted > maxTtlMs) ? maxTtlMs : wanted;
  return Math.min(limited, LONGEST_MS);
}
