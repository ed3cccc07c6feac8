/** The way of a batch into a topic: limits, options, and then the log, the delays or the subscribers. */

import { TinyMQError } from "../../errors.ts";
import { chain, type MaybePromise } from "../../wire/maybe-promise.ts";
import type { TopicView } from "../host.ts";
import type { BatchOptions } from "../ports.ts";
import { Delays } from "./delays.ts";
import { UniqueIds } from "./unique.ts";

/** A topic that batches come into; what it does not use is null. */
export interface AcceptingTopic extends TopicView {
  delays: Delays | null;
  /** While an engine opens the log of `delays`. */
  openingDelays: Promise<Delays> | null;
  unique: UniqueIds | null;
}

export const NO_OPTIONS: BatchOptions = { delayMs: 0, ttlMs: 0, uniqueMs: 0 };

/** Longer than anybody waits, short enough to be added to any clock. */
const LONGEST_MS = 100 * 365 * 86_400_000;

/** Takes a checked batch into a queue topic. Throws, or rejects, where it is not taken. */
export function acceptQueued(
  topic: AcceptingTopic,
  batch: Uint8Array,
  count: number,
  options: BatchOptions,
): MaybePromise<void> {
  if (options.uniqueMs > 0) return acceptUnique(topic, batch, count, options);
  return keep(topic, batch, count, options);
}

/** Hands a checked batch to the subscribers of a topic, and keeps nothing. */
export function acceptBroadcast(
  topic: AcceptingTopic,
  batch: Uint8Array,
  count: number,
  options: BatchOptions,
): void {
  if (options.delayMs > 0 || options.ttlMs > 0 || options.uniqueMs > 0) {
    throw new TinyMQError(
      "INVALID_ARGUMENT",
      "a broadcast message is not stored: delay, ttl and unique are for delivery queue",
    );
  }
  topic.publish(batch, count);
}

function acceptUnique(
  topic: AcceptingTopic,
  batch: Uint8Array,
  count: number,
  options: BatchOptions,
): MaybePromise<void> {
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

function keep(
  topic: AcceptingTopic,
  batch: Uint8Array,
  count: number,
  options: BatchOptions,
): MaybePromise<void> {
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
      topic.makeRoom(delays.log, own.length);
      return chain(delays.add(own, count, due, expires), () => topic.count("produced", count));
    });
  }
  topic.makeRoom(topic.log, batch.length);
  const stored = topic.store(batch, count, ttlMs);
  const own = stored instanceof Promise ? batch.slice() : batch;
  return chain(stored, () => {
    topic.count("produced", count);
    topic.publish(own, count);
  });
}

/** The delays of a topic, made on first use. */
export function delaysOf(topic: AcceptingTopic): MaybePromise<Delays> {
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

function effectiveTtl(topic: AcceptingTopic, wantedMs: number): number {
  const { defaultTtlMs, maxTtlMs } = topic.host.limits;
  const wanted = wantedMs > 0 ? wantedMs : defaultTtlMs;
  const limited = maxTtlMs > 0 && (wanted === 0 || wanted > maxTtlMs) ? maxTtlMs : wanted;
  return Math.min(limited, LONGEST_MS);
}
