/** How a batch comes into a topic: limits, options, and then the log, the delays or the subscribers. */
import { QueueFull, TinyMQError } from "../../errors.ts";
import { type CompactionWork, workOfTurn } from "../../log/compaction.ts";
import type { Log } from "../../log/log.ts";
import { MiB } from "../../wire/limits.ts";
import { entryEnd, messageId } from "../../wire/scan.ts";
import type { BrokerLimits } from "../broker-limits.ts";
import type { Tally } from "../counters.ts";
import { type BatchOptions, type MessageRange, type Refusal, refusalOf } from "../ports.ts";
import type { Shared } from "../topic-host.ts";
import { type DelayedBatch, Delays } from "./delays.ts";
import { UniqueIds } from "./unique.ts";

/** What a batch needs of its topic. Times by the broker's clock. */
export interface AcceptingTopic {
  readonly tally: Tally;
  /** Where batches are stored that are not delayed. */
  readonly log: Log;
  /** Makes room for an append to `log`; throws `QueueFull`. */
  makeRoom(batch: Uint8Array, log: Log): void;
  /** Whether the topic may hold so many bytes more as things are. */
  hasRoom(byteLength: number): boolean;
  /** Stores a batch; it expires when the clock shows `expires` (Infinity: never). `tight`: see `Log.append`. */
  store(batch: Uint8Array, count: number, expires: number, tight?: boolean): void;
  publish(batch: Uint8Array, count: number): void;
  /** To be called when memory was taken or freed, before room is asked for again. */
  changed(): void;
}

/** Delayed batches, and bytes of them, that are moved in one turn. */
const MOVED_AT_ONCE = 1_024;
const MOVED_BYTES = 4 * MiB;
/** Batches that are moved in one turn where memory is full: each of them copies a slab. */
const MOVED_TIGHTLY = 16;
/** Ranges of one refusal, at most, for refusals are remembered. */
const MOST_RANGES = 16;
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

  /**
   * Takes a checked batch into the queue. Where there is no room for all of it, each message that fits is
   * stored, in order; returns what was not. Null: all is stored.
   */
  queue(batch: Uint8Array, count: number, options: BatchOptions): Refusal | null {
    // Read once: whether an id is taken must not change between a look and the next.
    const now = this.#now();
    try {
      this.#take(batch, count, options, now);
      return null;
    } catch (thrown) {
      if (!(thrown instanceof QueueFull)) throw thrown;
      if (count === 1) return refusalOf(thrown);
      const refused = this.#takeWhatFits(batch, count, options, now);
      if (refused.length === 0) return null;
      const isNoneStored = refused[0]!.count === count;
      return refusalOf(thrown, isNoneStored ? [] : refused);
    }
  }

  /**
   * Stores each message for which there is room, without making more: that was tried for the whole batch. One whose id
   * was taken needs none. Returns those refused; where there are many ranges, the last one reaches to the end of the
   * batch.
   */
  #takeWhatFits(batch: Uint8Array, count: number, options: BatchOptions, now: number): MessageRange[] {
    const refused: MessageRange[] = [];
    const log = options.delayMs > 0 ? this.#delayed().log : this.#topic.log;
    const unique = options.uniqueMs > 0 ? this.#uniqueIds() : null;
    for (let index = 0, at = 0; index < count; index++) {
      const end = entryEnd(batch, at);
      const message = batch.subarray(at, end);
      const isTaken = unique?.has(messageId(batch, at), now) ?? false;
      const fits = () => (unique?.hasRoom(1, now) ?? true) && this.#topic.hasRoom(log.growth(message));
      if (isTaken || fits()) {
        this.#take(message, 1, options, now);
        this.#topic.changed();
      } else {
        const last = refused.at(-1);
        if (last !== undefined && last.first + last.count === index) last.count += 1;
        else refused.push({ first: index, count: 1 });
        if (refused.length === MOST_RANGES) {
          refused.at(-1)!.count = count - refused.at(-1)!.first;
          break;
        }
      }
      at = end;
    }
    return refused;
  }

  #take(batch: Uint8Array, count: number, options: BatchOptions, now: number): void {
    if (options.uniqueMs === 0) {
      this.#keep(batch, count, options, now);
      return;
    }
    const unique = this.#uniqueIds();
    const filtered = unique.filter(batch, count, now);
    if (filtered.count > 0) this.#keep(filtered.batch, filtered.count, options, now);
    this.#topic.tally.count("duplicates", count - filtered.count);
    const until = now + Math.min(options.uniqueMs, LONGEST_MS);
    for (const id of filtered.ids) unique.remember(id, until);
  }

  /** Hands a checked batch to the subscribers, and stores nothing. Throws INVALID_ARGUMENT if it has options. */
  broadcast(batch: Uint8Array, count: number, options: BatchOptions): void {
    if (options.delayMs > 0 || options.ttlMs > 0 || options.uniqueMs > 0) {
      throw new TinyMQError(
        "INVALID_ARGUMENT",
        "a broadcast message is not stored: delay, ttl and unique need delivery queue",
      );
    }
    this.#topic.publish(batch, count);
  }

  /** Stores delayed batches that are due at `now`, some in each turn; `moved` is called after each. */
  moveDue(now: number, moved: () => void): void {
    const compacting = workOfTurn();
    for (let work = 0, bytes = 0; work < MOVED_AT_ONCE && bytes < MOVED_BYTES && compacting.left > 0; ) {
      const due = this.delays?.takeDue(now);
      if (due === undefined) return;
      work += this.#move(due, now, compacting) ? 1 : MOVED_AT_ONCE / MOVED_TIGHTLY;
      bytes += due.batch.length;
      moved();
    }
  }

  /** Keeps messages that are not due yet. */
  delay(delayed: DelayedBatch): void {
    this.#delayed().add(delayed);
  }

  /** Remembers an id that a snapshot has, until the clock shows `until`. */
  restoreUnique(id: number, until: number): void {
    this.#uniqueIds().remember(id, until);
  }

  /** Drops about `most` delayed messages, or all that there are; returns how many. */
  purge(most: number): number {
    let purged = 0;
    while (purged < most) {
      const delayed = this.delays?.takeDue(Infinity);
      if (delayed === undefined) break;
      this.forgetUnique(delayed.batch);
      purged += delayed.count;
    }
    this.#topic.tally.count("purged", purged);
    return purged;
  }

  /** The messages of a batch are purged, not consumed: their ids may come again. */
  forgetUnique(batch: Uint8Array): void {
    const { unique } = this;
    if (unique === null || unique.count === 0) return;
    for (let at = 0; at < batch.length; at = entryEnd(batch, at)) unique.forget(messageId(batch, at));
  }

  /** The topic is gone. */
  drop(): void {
    this.delays?.log.drop();
    this.unique?.clear();
  }

  /**
   * Stores a batch that was taken from the delays. It was charged there, so it is stored in any case. Where memory is
   * full the slabs that it left are packed, and it takes no more than the bytes that this frees; false then.
   */
  #move({ batch, count, expires }: DelayedBatch, now: number, compacting: CompactionWork): boolean {
    const topic = this.#topic;
    if (expires <= now) {
      topic.tally.count("expired", count);
      return true;
    }
    topic.changed();
    const fits = topic.hasRoom(topic.log.growth(batch));
    if (!fits) {
      this.delays?.log.compact(1, compacting);
      topic.changed();
    }
    topic.store(batch, count, expires, !fits && !topic.hasRoom(topic.log.growth(batch)));
    topic.publish(batch, count);
    return fits;
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

  #keep(batch: Uint8Array, count: number, options: BatchOptions, now: number): void {
    const topic = this.#topic;
    const ttlMs = effectiveTtl(this.#shared.limits, options.ttlMs);
    const expires = ttlMs > 0 ? now + ttlMs : Infinity;
    if (options.delayMs > 0) {
      topic.makeRoom(batch, this.#delayed().log);
      this.delay({ batch, count, due: now + Math.min(options.delayMs, LONGEST_MS), expires });
      topic.tally.count("produced", count);
      return;
    }
    topic.makeRoom(batch, topic.log);
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
