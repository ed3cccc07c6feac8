/**
 * What becomes of delivered messages that were not consumed: they are delivered again, or become dead letters
 * because they were rejected or delivered too often.
 */
import { DEAD_LETTER_SUFFIX } from "../../wire/topic-name.ts";
import type { Backlog } from "../backlog.ts";
import type { Tally } from "../counters.ts";
import type { Shared } from "../topic-host.ts";
import { Deaths, type Dying, type DyingTopic } from "./deaths.ts";
import type { Return } from "./topic-consumer.ts";

/** The reason where a message was delivered too often. */
const TOO_MANY_DELIVERIES = "max-deliveries";
const AT_ONCE: Return = { delayMs: 0, alone: true, reason: "" };

/** What returned messages need of their topic. */
export interface ReturningTopic extends DyingTopic {
  readonly backlog: Backlog;
  readonly tally: Tally;
  /** ms by the broker's clock. */
  now(): number;
  /** What it holds, or what is due, has changed. */
  changed(): void;
}

export class Returns {
  readonly #topic: ReturningTopic;
  readonly #shared: Shared;
  /** Made on first use. */
  deaths: Deaths | null = null;

  constructor(topic: ReturningTopic, shared: Shared) {
    this.#topic = topic;
    this.#shared = shared;
  }

  get memory(): number {
    return this.deaths?.memory ?? 0;
  }

  get nextDue(): number {
    return this.deaths?.nextDue ?? Number.POSITIVE_INFINITY;
  }

  /** Whether messages are on their way to the dead letters. */
  get isDying(): boolean {
    return this.deaths?.first() !== undefined;
  }

  /** See `LeasedTopic`. */
  giveBack(firstOffset: number, count: number, deliveries: number, how: Return = AT_ONCE): void {
    const { maxDeliveries } = this.#shared.limits;
    if (maxDeliveries > 0 && deliveries >= maxDeliveries && !this.#areDeadLetters) {
      const reason = how.reason === "" ? TOO_MANY_DELIVERIES : `${TOO_MANY_DELIVERIES}: ${how.reason}`;
      this.reject(firstOffset, count, deliveries, reason);
      return;
    }
    const topic = this.#topic;
    // Whole ms, so that messages retried within one ms with the same delay are one range.
    const until = how.delayMs > 0 ? Math.ceil(topic.now() + how.delayMs) : 0;
    const tight = until > 0 && topic.piecePressure > 1;
    topic.backlog.giveBack(firstOffset, count, deliveries, { until, alone: how.alone, tight });
    topic.changed();
  }

  /** See `LeasedTopic`; those of a dead-letter topic go nowhere else. */
  reject(firstOffset: number, count: number, deliveries: number, reason: string): void {
    const topic = this.#topic;
    if (this.#areDeadLetters) {
      topic.tally.count("dropped", count);
      topic.backlog.done(firstOffset, count);
    } else {
      this.#add({ first: firstOffset, end: firstOffset + count, deliveries, reason });
    }
    topic.changed();
  }

  /** Moves messages that died to the dead-letter topic, some at a time. */
  bury(isNewTurn = false): void {
    const now = this.#topic.now();
    if (this.deaths === null || this.deaths.nextDue > now) return;
    this.deaths.bury(now, isNewTurn);
    this.#topic.changed();
  }

  /** Messages of a snapshot that are on their way to the dead letters. */
  restoreDying(dying: Dying): void {
    this.#topic.backlog.leased += dying.end - dying.first;
    this.#add(dying);
  }

  /**
   * Drops `most` messages that are on their way to the dead letters; `dropping` sees each batch before it goes. Returns
   * how many had not expired.
   */
  purge(most: number, dropping: (batch: Uint8Array) => void): number {
    let purged = 0;
    let left = most;
    for (let dying = this.deaths?.first(); dying !== undefined && left > 0; dying = this.deaths?.first()) {
      const { first } = dying;
      dying.first = Math.min(dying.end, first + left);
      left -= dying.first - first;
      purged += this.#topic.backlog.purgeLeased(first, dying.first, dropping);
      if (dying.first === dying.end) this.deaths?.shift();
    }
    return purged;
  }

  get #areDeadLetters(): boolean {
    return this.#topic.name.endsWith(DEAD_LETTER_SUFFIX);
  }

  #add(dying: Dying): void {
    this.deaths ??= new Deaths(this.#topic);
    this.deaths.add(dying, this.#topic.now());
  }
}
