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
  first: number;
  end: number;
}

/** Above so many entries, those whose messages are gone are looked for. */
const PRUNE_FROM = 1_024;
/** Offsets that are handed out at once, however many expire together. */
const MOST_OFFSETS = 4_096;

export class Expiry {
  readonly #log: Log;
  readonly #heap = new DueHeap<Expiring>();
  readonly #late = new RangeSet();
  #newest: Expiring | null = null;
  /** The place in the heap that is looked at next. */
  #pruneAt = 0;

  constructor(log: Log) {
    this.#log = log;
  }

  get memory(): number {
    return this.#heap.memory + this.#late.memory;
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
    if (this.#heap.length > PRUNE_FROM) for (let looks = 0; looks < 2; looks++) this.#prune();
  }

  /** Takes the next offsets that are due at `now`, or some of them; undefined: none are. */
  takeDue(now: number): OffsetSpan | undefined {
    const due = this.#heap.first();
    if (due === undefined || due.due > now) return undefined;
    const { first } = due;
    const end = Math.min(due.end, first + MOST_OFFSETS);
    due.first = end;
    if (end < due.end) return { first, end };
    this.#heap.shift();
    if (due === this.#newest) this.#newest = null;
    return { first, end };
  }

  /**
   * What is left of expired offsets [first, end) is leased, and is gone once it is given back. Returns in how
   * many pieces.
   */
  markLate(first: number, end: number): number {
    let pieces = 0;
    for (const { runs } of this.#log.chunks(first, end)) {
      for (const { firstOffset, count } of runs) this.#late.add(firstOffset, firstOffset + count, 0);
      pieces += runs.length;
    }
    return pieces;
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

  /**
   * Looks at one entry, and forgets it if its messages are gone. Two are looked at for each that is added, so that
   * there are never many more than messages, however long these could have lived.
   */
  #prune(): void {
    const entry = this.#heap.at(this.#pruneAt);
    if (entry === undefined) this.#pruneAt = 0;
    else if (entry === this.#newest || this.#log.read(entry.first, 1, 1, entry.end) !== null)
      this.#pruneAt += 1;
    else this.#heap.remove(entry);
  }
}

/** The offsets [first, end). */
interface OffsetSpan {
  readonly first: number;
  readonly end: number;
}
