/**
 * What the parts of a topic see of it, and what a topic sees of its broker: declared apart from both, so
 * that imports run one way.
 */
import type { Log } from "../log/engine.ts";
import type { Clock } from "../wire/clock.ts";
import type { MaybePromise } from "../wire/maybe-promise.ts";
import type { BrokerLimits } from "./broker-limits.ts";
import type { Delivery, Publisher } from "./ports.ts";
import type { RangeSet } from "./range-set.ts";
import type { CounterName, Counters } from "./stats.ts";
import type { Timers } from "./timers.ts";

export interface TopicHost {
  readonly clock: Clock;
  readonly timers: Timers;
  readonly limits: BrokerLimits;
  /** Of all topics since the start. */
  readonly counters: Counters;
  readonly publisher: Publisher;
  /** Producers remembered and ids remembered, of all topics; each topic counts its own in and out. */
  readonly remembered: { producers: number; uniqueIds: number };
  newEpoch(): string;
  /** A topic's memory changed by so many bytes. */
  charge(bytes: number): void;
  /** The topic of that name, made if there is none, whatever the limit on topics. */
  topicForDeadLetters(name: string): MaybePromise<TopicView>;
  /** Opens another log, for messages that are not due. */
  openDelayedLog(topic: string): MaybePromise<Log>;
  /** Something went wrong that no client can be told. */
  failed(what: string, error: unknown): void;
}

/** A topic as its parts see it. `Topic` says what each does. */
export interface TopicView {
  readonly name: string;
  readonly host: TopicHost;
  readonly log: Log;
  readonly returned: RangeSet;
  readonly dispatcher: {
    /** Answers waiting pulls as long as there are messages for them. */
    pump(): void;
    /** Calls `visit` for every range of offsets in [first, end) that a consumer holds. */
    eachLeased(first: number, end: number, visit: (first: number, end: number) => void): void;
  };
  readonly ready: number;
  makeRoom(log: Log, byteLength: number): void;
  count(counter: CounterName, messages: number): void;
  store(batch: Uint8Array, count: number, ttlMs: number): MaybePromise<void>;
  publish(batch: Uint8Array, count: number): void;
  take(maxMessages: number, maxBytes: number): MaybePromise<Delivery | null>;
  done(firstOffset: number, count: number): void;
  giveBack(firstOffset: number, count: number, deliveries: number, delayMs?: number): void;
  reject(firstOffset: number, count: number, deliveries: number, reason: string): void;
  release(firstOffset: number, count: number): void;
  dropReady(first: number, end: number, counter: CounterName): void;
  updateMemory(): void;
  checkIdle(): void;
  keep(): void;
}
