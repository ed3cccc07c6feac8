/**
 * A named FIFO queue of messages: which of them are ready, delivered, held back or gone.
 *
 * Every message of the log is in exactly one state:
 *   fresh     at or above `cursor`, never delivered
 *   leased    delivered to a consumer that has not settled it; only that consumer's lease names it
 *   returned  given back, to be delivered before anything fresh
 *   held back given back with a delay
 * Always holds: `leased + returned.count + heldBack.count` is at most `log.count`; the rest is fresh.
 */

import { toTinyMQError } from "../errors.ts";
import type { Chunk, Lock, Log, OffsetRun } from "../log/engine.ts";
import { chain, type MaybePromise, settle } from "../wire/maybe-promise.ts";
import { DEAD_LETTER_SUFFIX } from "../wire/topic-name.ts";
import { deadLetters } from "./dead-letters.ts";
import type { TopicHost } from "./host.ts";
import type { AcceptingTopic } from "./inbound/accept.ts";
import type { Delays } from "./inbound/delays.ts";
import { Expiry } from "./inbound/expiry.ts";
import { ProducerTable } from "./inbound/producers.ts";
import type { UniqueIds } from "./inbound/unique.ts";
import { Dispatcher } from "./outbound/dispatcher.ts";
import { HeldBack } from "./outbound/held-back.ts";
import type { DeliveredRun, Delivery } from "./ports.ts";
import { type OffsetRange, RangeSet } from "./range-set.ts";
import { type CounterName, type Counters, zeroCounters } from "./stats.ts";
import type { Timer } from "./timers.ts";

/** Why a message became a dead letter when nobody gave a reason. */
const TOO_MANY_DELIVERIES = "max-deliveries";

interface Taken extends Delivery {
  runs: DeliveredRun[];
  parts: Uint8Array[];
  count: number;
  byteLength: number;
}

/** What a topic needs of its broker. */
export interface TopicBroker extends TopicHost {
  /** Makes room for an append of so many bytes to a log of the topic, or throws RESOURCE_EXHAUSTED. */
  makeRoom(topic: Topic, log: Log, byteLength: number): void;
  remove(topic: Topic): void;
}

export class Topic implements AcceptingTopic {
  readonly name: string;
  readonly host: TopicBroker;
  readonly log: Log;
  readonly counters: Counters = zeroCounters();
  readonly returned = new RangeSet();
  readonly dispatcher: Dispatcher;
  readonly producers: ProducerTable;
  /** The lowest offset that was never delivered. */
  cursor = 0;
  /** Messages delivered and not settled. */
  leased = 0;
  subscribers = 0;
  /** New when the topic is made anew. */
  readonly epoch: string;
  /** Messages published in this epoch. */
  published = 0;
  // Made on first use: topics that use none of these pay for none.
  heldBack: HeldBack | null = null;
  delays: Delays | null = null;
  /** While an engine opens the log of `delays`. */
  openingDelays: Promise<Delays> | null = null;
  expiry: Expiry | null = null;
  unique: UniqueIds | null = null;
  gone = false;
  #memory = 0;
  /** Grows with all that outdates what an engine is reading: messages were taken or dropped. */
  #changes = 0;
  #idle: Timer | null = null;

  constructor(name: string, log: Log, lock: Lock, host: TopicBroker) {
    this.name = name;
    this.log = log;
    this.host = host;
    this.epoch = host.newEpoch();
    this.dispatcher = new Dispatcher(this, lock);
    this.producers = new ProducerTable(this);
    this.updateMemory();
  }

  get isDeadLetterTopic(): boolean {
    return this.name.endsWith(DEAD_LETTER_SUFFIX);
  }

  /** Messages that a consumer could get now. */
  get ready(): number {
    return Math.max(0, this.log.count - this.leased - (this.heldBack?.count ?? 0));
  }

  get memory(): number {
    return this.#memory;
  }

  get users(): number {
    return this.producers.connected + this.dispatcher.consumers + this.subscribers;
  }

  count(counter: CounterName, messages: number): void {
    this.counters[counter] += messages;
    this.host.counters[counter] += messages;
  }

  /** Makes room for an append to one of the topic's logs, or throws RESOURCE_EXHAUSTED. */
  makeRoom(log: Log, byteLength: number): void {
    this.host.makeRoom(this, log, byteLength);
  }

  /** Stores a checked batch at the end of the topic; `ttlMs` 0: for ever. Room is the caller's care. */
  store(batch: Uint8Array, count: number, ttlMs: number): MaybePromise<void> {
    this.keep();
    const expires = this.host.clock.now() + ttlMs;
    return chain(this.log.append(batch, count), (runs) => {
      if (ttlMs > 0) {
        this.expiry ??= new Expiry(this);
        for (const run of runs) this.expiry.add(run.firstOffset, run.count, expires);
      }
      this.updateMemory();
    });
  }

  /** Hands messages to those who are subscribed now. */
  publish(batch: Uint8Array, count: number): void {
    if (this.subscribers > 0)
      this.host.publisher.publish(this.name, this.epoch, this.published, count, batch);
    this.published += count;
    this.count("published", count);
  }

  /**
   * Takes ready messages for a consumer, oldest first: what was given back before what is fresh. At most
   * `maxMessages`, at most `maxBytes` but at least one. They are leased from then on. Null: none is ready.
   */
  take(maxMessages: number, maxBytes: number): MaybePromise<Delivery | null> {
    this.expiry?.runDue();
    const taken: Taken = { runs: [], parts: [], count: 0, byteLength: 0 };
    while (taken.count < maxMessages && this.ready > 0) {
      const room = maxBytes - taken.byteLength;
      if (taken.count > 0 && room <= 0) break;
      const back = this.returned.first();
      const chunk = back
        ? this.log.read(back.first, maxMessages - taken.count, room, back.end)
        : this.log.read(this.cursor, maxMessages - taken.count, room);
      // An engine that answers later is asked once a delivery.
      if (chunk instanceof Promise) return this.#leaseLater(chunk, maxMessages, maxBytes, back);
      const before = taken.count;
      if (this.#lease(taken, chunk, room, back) === null || taken.count === before) break;
    }
    return taken.count === 0 ? null : taken;
  }

  /** Removes settled messages: their consumer is done with them. */
  done(firstOffset: number, count: number): void {
    this.leased -= count;
    this.expiry?.forget(firstOffset, firstOffset + count);
    this.count("acked", count);
    this.release(firstOffset, count);
  }

  /** Takes leased messages back, to be delivered again; `deliveries` is how often they were delivered. */
  giveBack(firstOffset: number, count: number, deliveries: number, delayMs = 0): void {
    const limit = this.host.limits.maxDeliveries;
    if (limit > 0 && deliveries >= limit && !this.isDeadLetterTopic) {
      this.reject(firstOffset, count, deliveries, TOO_MANY_DELIVERIES);
      return;
    }
    this.leased -= count;
    const end = firstOffset + count;
    for (const live of this.expiry?.dropLate(firstOffset, end) ?? [{ first: firstOffset, end }]) {
      if (delayMs > 0) {
        this.heldBack ??= new HeldBack(this);
        this.heldBack.add(live.first, live.end, deliveries, delayMs);
      } else {
        this.returned.add(live.first, live.end, deliveries);
      }
    }
  }

  /** Moves leased messages to the dead-letter topic; those of a dead-letter topic go nowhere else. */
  reject(firstOffset: number, count: number, deliveries: number, reason: string): void {
    const remove = () => {
      this.leased -= count;
      this.expiry?.forget(firstOffset, firstOffset + count);
      this.release(firstOffset, count);
    };
    if (this.isDeadLetterTopic) {
      this.count("dropped", count);
      remove();
      return;
    }
    settle(
      () => deadLetters(this, firstOffset, count, deliveries, reason),
      () => {
        this.count("deadLettered", count);
        remove();
      },
      (error) => {
        this.host.failed(`${this.name}: dead-lettering failed, the message stays`, error);
        this.leased -= count;
        this.returned.add(firstOffset, firstOffset + count, deliveries);
        this.dispatcher.pump();
      },
    );
  }

  /** Removes messages from the log, whatever their state was; the caller has taken them out of it. */
  release(firstOffset: number, count: number, removed?: (messages: number) => void): void {
    settle(
      () => this.log.release(firstOffset, count),
      (messages) => {
        removed?.(messages);
        this.updateMemory();
        this.checkIdle();
      },
      (error) => this.host.failed(`${this.name}: releasing messages failed`, error),
    );
  }

  /** Drops the messages of the offsets [first, end) that are ready or held back. */
  dropReady(first: number, end: number, counter: CounterName): void {
    this.#changes += 1;
    // Offsets are not dense, and some of these may be gone already: the log says how many were there.
    const drop = (from: number, to: number) => {
      this.expiry?.forget(from, to);
      this.release(from, to - from, (messages) => this.count(counter, messages));
    };
    for (const range of this.returned.remove(first, end)) drop(range.first, range.end);
    for (const range of this.heldBack?.remove(first, end) ?? []) drop(range.first, range.end);
    const from = Math.max(first, this.cursor);
    if (from < end) drop(from, end);
  }

  /** Drops every message that no consumer holds; returns how many. */
  purge(): number {
    const delayed = this.delays?.clear() ?? 0;
    this.count("purged", delayed);
    const kept = this.ready + (this.heldBack?.count ?? 0);
    this.dropReady(0, this.log.nextOffset, "purged");
    return delayed + kept;
  }

  /** The oldest messages that are ready or held back, some of them; undefined if all are leased. */
  oldestReady(maxMessages: number, maxBytes: number): OffsetRun | undefined {
    const back = Math.min(this.returned.first()?.first ?? Infinity, this.heldBack?.first() ?? Infinity);
    if (back < Infinity) return { firstOffset: back, count: 1 };
    const fresh =
      this.ready - this.returned.count > 0 ? this.log.read(this.cursor, maxMessages, maxBytes) : null;
    return fresh === null || fresh instanceof Promise ? undefined : fresh.runs[0]!;
  }

  /** Tells the broker what the topic's memory has become. */
  updateMemory(): void {
    const memory =
      this.log.memory + (this.delays?.memory ?? 0) + (this.unique?.memory ?? 0) + (this.expiry?.memory ?? 0);
    this.host.charge(memory - this.#memory);
    this.#memory = memory;
  }

  /** Arms the end of an empty topic that nobody uses. */
  checkIdle(): void {
    if (this.gone || this.#idle !== null || !this.#isIdle()) return;
    this.#idle = this.host.timers.after(this.host.limits.idleTopicTtlMs, () => {
      this.#idle = null;
      if (this.#isIdle()) this.host.remove(this);
    });
  }

  /** Somebody uses the topic: it stays. */
  keep(): void {
    this.host.timers.cancel(this.#idle);
    this.#idle = null;
  }

  /** The topic is no more: frees what it holds. */
  drop(): void {
    this.gone = true;
    this.keep();
    this.expiry?.close();
    this.heldBack?.close();
    this.delays?.close();
    this.unique?.clear();
    this.producers.forgetAll();
    this.host.charge(-this.#memory);
    this.#memory = 0;
    settle(
      () => this.log.drop(),
      () => {},
      (error) => this.host.failed(`${this.name}: dropping its log failed`, toTinyMQError(error)),
    );
  }

  #isIdle(): boolean {
    return (
      this.users === 0 &&
      this.log.count === 0 &&
      (this.delays?.count ?? 0) === 0 &&
      (this.unique?.count ?? 0) === 0 &&
      this.producers.remembered === 0
    );
  }

  /** Like `#lease`, for an engine that answers later; asks again if what it found is outdated by then. */
  #leaseLater(
    reading: Promise<Chunk | null>,
    maxMessages: number,
    maxBytes: number,
    back: OffsetRange | undefined,
  ): Promise<Delivery | null> {
    const changes = this.#changes;
    // A copy: ranges of the set grow when others join them.
    const range = back && { ...back };
    return reading.then((chunk) => {
      if (changes !== this.#changes) return this.take(maxMessages, maxBytes);
      return this.#lease({ runs: [], parts: [], count: 0, byteLength: 0 }, chunk, maxBytes, range);
    });
  }

  /** Adds what was read, of `back` or fresh, to a delivery, unless it is more than there is room for. */
  #lease(taken: Taken, chunk: Chunk | null, room: number, back: OffsetRange | undefined): Delivery | null {
    if (chunk === null) {
      // Nothing where something was given back: an engine lost it. It must not block what is behind it.
      if (back !== undefined) this.returned.remove(back.first, back.end);
      return taken.count === 0 ? null : taken;
    }
    if (taken.count > 0 && chunk.byteLength > room) return taken;
    this.#changes += 1;
    const redelivered = back !== undefined;
    const deliveries = back?.deliveries ?? 0;
    for (const run of chunk.runs) {
      taken.runs.push({ firstOffset: run.firstOffset, count: run.count, redelivered, deliveries });
    }
    for (const part of chunk.parts) taken.parts.push(part);
    taken.count += chunk.count;
    taken.byteLength += chunk.byteLength;
    if (redelivered) {
      this.returned.remove(back.first, chunk.nextOffset);
      this.count("redelivered", chunk.count);
    } else {
      this.cursor = chunk.nextOffset;
    }
    this.leased += chunk.count;
    this.count("delivered", chunk.count);
    return taken;
  }
}
