/**
 * Messages of one topic that are not due yet. They wait in a log of their own, which is charged like any
 * other, and move to the topic's log when they are due: in due order, of those due together the first sent.
 */
import type { Log } from "../../log/engine.ts";
import { concatBytes } from "../../wire/bytes.ts";
import { chain, type MaybePromise, settle } from "../../wire/maybe-promise.ts";
import { DueHeap } from "../due-heap.ts";
import type { TopicView } from "../host.ts";
import type { Timer } from "../timers.ts";

/** How long messages wait that an engine could not move. */
const RETRY_MS = 1_000;

interface Delayed {
  readonly due: number;
  readonly first: number;
  readonly count: number;
  /** By the broker's clock; Infinity: never. */
  readonly expires: number;
}

export class Delays {
  readonly #topic: TopicView;
  readonly log: Log;
  readonly #heap = new DueHeap<Delayed>();
  #timer: Timer | null = null;
  #moving = false;

  constructor(topic: TopicView, log: Log) {
    this.#topic = topic;
    this.log = log;
  }

  get count(): number {
    return this.log.count;
  }

  get memory(): number {
    return this.log.memory + this.#heap.length * 96;
  }

  /** Keeps a checked batch until the clock shows `due`. */
  add(batch: Uint8Array, count: number, due: number, expires: number): MaybePromise<void> {
    return chain(this.log.append(batch, count), (runs) => {
      for (const run of runs) this.#heap.push({ due, first: run.firstOffset, count: run.count, expires });
      this.#topic.updateMemory();
      this.#arm();
    });
  }

  /** Drops everything; returns how many messages. */
  clear(): number {
    const dropped = this.log.count;
    for (let next = this.#heap.shift(); next !== undefined; next = this.#heap.shift()) this.#release(next);
    this.#arm();
    return dropped;
  }

  /** Everything with its due time, in due order, for a snapshot. */
  async *items(): AsyncGenerator<{ due: number; expires: number; count: number; batch: Uint8Array }> {
    for (const entry of this.#heap.items()) {
      yield {
        due: entry.due,
        expires: entry.expires,
        count: entry.count,
        batch: (await this.#read(entry)).batch,
      };
    }
  }

  close(): void {
    this.#topic.host.timers.cancel(this.#timer);
    this.#timer = null;
    settle(
      () => this.log.drop(),
      () => {},
      (error) => this.#topic.host.failed(`${this.#topic.name}: dropping its delayed messages failed`, error),
    );
  }

  /** Moves what is due, one entry after the other: an engine may take its time for each. */
  runDue(): void {
    const next = this.#heap.first();
    if (this.#moving || next === undefined || next.due > this.#topic.host.clock.now()) {
      this.#arm();
      return;
    }
    this.#heap.shift();
    this.#moving = true;
    settle(
      () => this.#move(next),
      () => this.#moved(),
      (error) => {
        this.#topic.host.failed(
          `${this.#topic.name}: moving delayed messages failed, they are tried again`,
          error,
        );
        this.#heap.push({ ...next, due: this.#topic.host.clock.now() + RETRY_MS });
        this.#moved();
      },
    );
  }

  #moved(): void {
    this.#moving = false;
    this.#topic.dispatcher.pump();
    this.runDue();
  }

  #move(entry: Delayed): MaybePromise<void> {
    const ttlMs = entry.expires - this.#topic.host.clock.now();
    if (ttlMs <= 0) {
      this.#topic.count("expired", entry.count);
      this.#release(entry);
      return;
    }
    return chain(this.#read(entry), ({ batch, count }) =>
      // No room is asked for: the messages were charged when they came.
      chain(this.#topic.store(batch, count, ttlMs === Number.POSITIVE_INFINITY ? 0 : ttlMs), () => {
        this.#release(entry);
        this.#topic.publish(batch, count);
      }),
    );
  }

  #read(entry: Delayed): MaybePromise<{ batch: Uint8Array; count: number }> {
    const end = entry.first + entry.count;
    const parts: Uint8Array[] = [];
    const readFrom = (from: number): MaybePromise<{ batch: Uint8Array; count: number }> =>
      chain(this.log.read(from, entry.count, Number.MAX_SAFE_INTEGER, end), (chunk) => {
        for (const part of chunk?.parts ?? []) parts.push(part);
        if (chunk === null || chunk.nextOffset >= end)
          return { batch: concatBytes(parts), count: entry.count };
        return readFrom(chunk.nextOffset);
      });
    return readFrom(entry.first);
  }

  #release(entry: Delayed): void {
    settle(
      () => this.log.release(entry.first, entry.count),
      () => {
        this.#topic.updateMemory();
        this.#topic.checkIdle();
      },
      (error) => this.#topic.host.failed(`${this.#topic.name}: releasing delayed messages failed`, error),
    );
  }

  #arm(): void {
    const due = this.#heap.first()?.due;
    if (this.#timer !== null && this.#timer.due === due && this.#timer.slot >= 0) return;
    this.#topic.host.timers.cancel(this.#timer);
    this.#timer = due === undefined ? null : this.#topic.host.timers.at(due, () => this.runDue());
  }
}
