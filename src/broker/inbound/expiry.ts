/**
 * Times to live of one topic: which offsets expire when. What becomes of them is the backlog's matter.
 *
 * An expired message that is leased stays with its consumer; it is remembered as late, so that it is gone if
 * it is given back. Always holds: every late offset is leased.
 */
import type { Log } from "../../log/log.ts";
import { type Due, DueHeap } from "../due-heap.ts";
import { RangeSet } from "../range-set.ts";

/** The offsets [first, end) expire when the clock shows `due`. */
export interface Expiring extends Due {
  readonly first: number;
  end: number;
}

/** What one entry of the heap costs, in bytes, measured roughly. */
const ENTRY_BYTES = 96;
const PRUNE_FROM = 1_024;

export class Expiry {
  readonly #log: Log;
  readonly #heap = new DueHeap<Expiring>();
  readonly #late = new RangeSet();
  #newest: Expiring | null = null;
  #pruneAt = PRUNE_FROM;

  constructor(log: Log) {
    this.#log = log;
  }

  get memory(): number {
    return this.#heap.length * ENTRY_BYTES + this.#late.memory;
  }

  get nextDue(): number {
    return this.#heap.nextDue;
  }

  /** The offsets [first, first + count) expire when the clock shows `due`. */
  add(first: number, count: number, due: number): void {
    const newest = this.#newest;
    if (newest !== null && newest.due === due && newest.end === first) {
      newest.end += count;
      return;
    }
    this.#newest = { due, first, end: first + count, order: 0, slot: -1 };
    this.#heap.push(this.#newest);
    if (this.#heap.length >= this.#pruneAt) this.#prune();
  }

  /** The next offsets that are due at `now`; undefined: none are. */
  takeDue(now: number): Expiring | undefined {
    const due = this.#heap.shiftDue(now);
    if (due === this.#newest) this.#newest = null;
    return due;
  }

  /** What is left of expired offsets [first, end) is leased, and is gone once it is given back. */
  markLate(first: number, end: number): void {
    for (const { runs } of this.#log.chunks(first, end)) {
      for (const { firstOffset, count } of runs) this.#late.add(firstOffset, firstOffset + count, 0);
    }
  }

  /** The offsets [first, end) are gone. */
  forget(first: number, end: number): void {
    if (this.#late.count > 0) this.#late.remove(first, end);
  }

  /** Takes the late ones of [first, end) out; returns them, and the others. */
  splitLate(first: number, end: number): { late: OffsetSpan[]; alive: OffsetSpan[] } {
    const late = this.#late.count === 0 ? [] : this.#late.remove(first, end);
    const alive: OffsetSpan[] = [];
    let from = first;
    for (const range of late) {
      if (from < range.first) alive.push({ first: from, end: range.first });
      from = range.end;
    }
    if (from < end) alive.push({ first: from, end });
    return { late, alive };
  }

  /** What expires and when, in that order, for a snapshot. */
  items(): readonly Expiring[] {
    return this.#heap.sorted();
  }

  /** Forgets entries whose messages are gone: a long time to live must not outgrow the queue itself. */
  #prune(): void {
    this.#heap.filter((entry) => this.#log.read(entry.first, 1, 1, entry.end) !== null);
    this.#newest = null;
    this.#pruneAt = Math.max(PRUNE_FROM, 2 * this.#heap.length);
  }
}

/** The offsets [first, end). */
interface OffsetSpan {
  readonly first: number;
  readonly end: number;
}
