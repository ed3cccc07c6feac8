/** The way of a batch into a topic: limits, options, and then the log, the delays or the subscribers. */
import { TinyMQError } from "../../errors.ts";
import type { Log } from "../../log/log.ts";
import type { BrokerLimits } from "../broker-limits.ts";
import type { Tally } from "../counters.ts";
import type { BatchOptions } from "../ports.ts";
import type { Shared } from "../shared.ts";
import { type DelayedBatch, Delays } from "./delays.ts";
import { UniqueIds } from "./unique.ts";

/** What a batch needs of its topic. Times by the broker's clock. */
export interface AcceptingTopic {
  readonly tally: Tally;
  /** Makes room for an append to `log`, or to the topic's own; throws `QueueFull`. */
  makeRoom(byteLength: number, log?: Log): void;
  /** Stores a batch for which there is room; it expires when the clock shows `expires` (Infinity: never). */
  store(batch: Uint8Array, count: number, expires: number): void;
  publish(batch: Uint8Array, count: number): void;
}

export const NO_OPTIONS: BatchOptions = { delayMs: 0, ttlMs: 0, uniqueMs: 0 };

/** Longer than anybody waits, short enough to be added to any clock. */
const LONGEST_MS = 100 * 365 * 86_400_000;

export class Acceptor {
  readonly #topic: AcceptingTopic;
  readonly #shared: Shared;
  // Made on first use: topics that use neither pay for neither.
  delays: Delays | null = null;
  unique: UniqueIds | null = null;

  constructor(topic: AcceptingTopic, shared: Shared) {
    this.#topic = topic;
    this.#shared = shared;
  }

  /** Bytes that it holds. */
  get memory(): number {
    return (this.delays?.memory ?? 0) + (this.unique?.memory ?? 0);
  }

  /** When something here is due; Infinity: nothing is. */
  get nextDue(): number {
    return Math.min(this.delays?.nextDue ?? Infinity, this.unique?.nextDue ?? Infinity);
  }

  /** Takes a checked batch into the queue. Throws `QueueFull`. */
  queue(batch: Uint8Array, count: number, options: BatchOptions): void {
    if (options.uniqueMs === 0) {
      this.#keep(batch, count, options);
      return;
    }
    const now = this.#now();
    const unique = this.#uniqueIds();
    const filtered = unique.filter(batch, count, now);
    this.#topic.tally.count("duplicates", count - filtered.count);
    if (filtered.count === 0) return;
    this.#keep(filtered.batch, filtered.count, options);
    const until = now + Math.min(options.uniqueMs, LONGEST_MS);
    for (const id of filtered.ids) unique.remember(id, until, now);
  }

  /** Hands a checked batch to the subscribers, and keeps nothing. Throws INVALID_ARGUMENT for options. */
  broadcast(batch: Uint8Array, count: number, options: BatchOptions): void {
    if (options.delayMs > 0 || options.ttlMs > 0 || options.uniqueMs > 0) {
      throw new TinyMQError(
        "INVALID_ARGUMENT",
        "a broadcast message is not stored: delay, ttl and unique need delivery queue",
      );
    }
    this.#topic.publish(batch, count);
  }

  /** Moves one batch that is due at `now` to where it is delivered from; false if none is. */
  moveDue(now: number): boolean {
    const due = this.delays?.takeDue(now);
    if (due === undefined) return false;
    if (due.expires <= now) {
      this.#topic.tally.count("expired", due.count);
      return true;
    }
    // No room is asked for: the messages were charged when they came.
    this.#topic.store(due.batch, due.count, due.expires);
    this.#topic.publish(due.batch, due.count);
    return true;
  }

  /** Keeps messages that are not due yet. */
  delay(delayed: DelayedBatch): void {
    this.#delayed().add(delayed);
  }

  /** Remembers an id for `unique` until the clock shows `until`: of a snapshot. */
  restoreUnique(id: number, until: number): void {
    this.#uniqueIds().remember(id, until, this.#now());
  }

  /** The topic is gone. */
  drop(): void {
    this.delays?.log.drop();
    this.unique?.clear();
  }

  #now(): number {
    return this.#shared.timers.clock.now();
  }

  #delayed(): Delays {
    this.delays ??= new Delays(this.#shared.pool);
    return this.delays;
  }

  #uniqueIds(): UniqueIds {
    this.unique ??= new UniqueIds(this.#shared);
    return this.unique;
  }

  #keep(batch: Uint8Array, count: number, options: BatchOptions): void {
    const topic = this.#topic;
    const ttlMs = effectiveTtl(this.#shared.limits, options.ttlMs);
    const expires = ttlMs > 0 ? this.#now() + ttlMs : Infinity;
    if (options.delayMs > 0) {
      topic.makeRoom(batch.length, this.#delayed().log);
      this.delay({ batch, count, due: this.#now() + Math.min(options.delayMs, LONGEST_MS), expires });
      topic.tally.count("produced", count);
      return;
    }
    topic.makeRoom(batch.length);
    topic.store(batch, count, expires);
    topic.tally.count("produced", count);
    topic.publish(batch, count);
  }
}

function effectiveTtl({ defaultTtlMs, maxTtlMs }: BrokerLimits, wantedMs: number): number {
  const wanted = wantedMs > 0 ? wantedMs : defaultTtlMs;
  const limited = maxTtlMs > 0 && (wanted === 0 || wanted > maxTtlMs) ? maxTtlMs : wanted;
  return Math.min(limited, LONGEST_MS);
}
