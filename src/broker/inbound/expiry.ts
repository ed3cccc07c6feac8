/**
 * Times to live of one topic. A message that is past its time is never delivered.
 *
 * An expired message that is leased stays with its consumer; `#late` remembers it, so that it is gone if it
 * is given back. Always holds: every offset in `#late` is leased.
 */
import { DueHeap } from "../due-heap.ts";
import type { TopicView } from "../host.ts";
import { RangeSet } from "../range-set.ts";
import type { Timer } from "../timers.ts";

interface Expiring {
  readonly due: number;
  readonly first: number;
  end: number;
}

/** What one entry of the heap costs, in bytes, measured roughly. */
const ENTRY_BYTES = 96;
const PRUNE_FROM = 1_024;

export class Expiry {
  readonly #topic: TopicView;
  readonly #heap = new DueHeap<Expiring>();
  readonly #late = new RangeSet();
  #newest: Expiring | null = null;
  #timer: Timer | null = null;
  #pruneAt = PRUNE_FROM;

  constructor(topic: TopicView) {
    this.#topic = topic;
  }

  get memory(): number {
    return this.#heap.length * ENTRY_BYTES;
  }

  /** The offsets [first, first + count) expire when the clock shows `due`. */
  add(first: number, count: number, due: number): void {
    const newest = this.#newest;
    if (newest !== null && newest.due === due && newest.end === first) {
      newest.end += count;
      return;
    }
    this.#newest = { due, first, end: first + count };
    this.#heap.push(this.#newest);
    if (this.#heap.length >= this.#pruneAt) this.#prune();
    this.#arm();
  }

  /** Drops what is due. Called before anything is delivered, for a timer may be late. */
  runDue(): void {
    const now = this.#topic.host.clock.now();
    for (let next = this.#heap.first(); next !== undefined && next.due <= now; next = this.#heap.first()) {
      this.#heap.shift();
      if (next === this.#newest) this.#newest = null;
      this.#topic.dropReady(next.first, next.end, "expired");
      this.#topic.dispatcher.eachLeased(next.first, next.end, (first, end) => this.#late.add(first, end, 0));
      // Its messages may have been consumed long ago: then nothing else tells of the entry's memory.
      this.#topic.updateMemory();
    }
    this.#arm();
  }

  /** The offsets [first, end) are gone. */
  forget(first: number, end: number): void {
    if (this.#late.count > 0) this.#late.remove(first, end);
  }

  /** Drops what expired while it was leased of [first, end), and returns the ranges that did not. */
  dropLate(first: number, end: number): { first: number; end: number }[] {
    if (this.#late.count === 0) return [{ first, end }];
    const alive: { first: number; end: number }[] = [];
    let from = first;
    for (const late of this.#late.remove(first, end)) {
      if (from < late.first) alive.push({ first: from, end: late.first });
      this.#topic.count("expired", late.end - late.first);
      this.#topic.release(late.first, late.end - late.first);
      from = late.end;
    }
    if (from < end) alive.push({ first: from, end });
    return alive;
  }

  /** What expires and when, for a snapshot. */
  items(): readonly Expiring[] {
    return this.#heap.items();
  }

  close(): void {
    this.#topic.host.timers.cancel(this.#timer);
    this.#timer = null;
  }

  /** Forgets entries whose messages are gone: a long time to live must not outgrow the queue itself. */
  #prune(): void {
    this.#heap.filter((entry) => {
      const chunk = this.#topic.log.read(entry.first, 1, 1, entry.end);
      return chunk !== null;
    });
    this.#newest = null;
    this.#pruneAt = Math.max(PRUNE_FROM, 2 * this.#heap.length);
  }

  #arm(): void {
    const due = this.#heap.first()?.due;
    if (this.#timer !== null && this.#timer.due === due && this.#timer.slot >= 0) return;
    this.#topic.host.timers.cancel(this.#timer);
    this.#timer = due === undefined ? null : this.#topic.host.timers.at(due, () => this.runDue());
  }
}
