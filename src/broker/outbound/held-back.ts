/**
 * Messages given back alone with a delay, so that others pass them: they return when it is over.
 *
 * Always holds: every offset of `#ranges` is in exactly one entry of the heap. An entry may name offsets that
 * were dropped meanwhile; offsets are never used again.
 */
import { type Due, DueHeap } from "../due-heap.ts";
import { type OffsetRange, RangeSet } from "../range-set.ts";

interface Held extends Due {
  first: number;
  readonly end: number;
}

/** Offsets that are taken at once, however many are due together. */
const MOST_OFFSETS = 4_096;

export class HeldBack {
  readonly #ranges = new RangeSet();
  readonly #heap = new DueHeap<Held>();

  /** Messages held back. */
  get count(): number {
    return this.#ranges.count;
  }

  get memory(): number {
    return this.#ranges.memory + this.#heap.memory;
  }

  get nextDue(): number {
    return this.#heap.nextDue;
  }

  /** The lowest offsets held back. */
  first(): OffsetRange | undefined {
    return this.#ranges.first();
  }

  /** Holds [first, end) back until the clock shows `due`. */
  add(first: number, end: number, deliveries: number, due: number): void {
    this.#ranges.add(first, end, deliveries);
    this.#heap.push({ due, first, end, order: 0, slot: -1 });
  }

  /** Takes out the next offsets that are due at `now`, or some of them; undefined: none are. */
  takeDue(now: number): OffsetRange[] | undefined {
    const held = this.#heap.first();
    if (held === undefined || held.due > now) return undefined;
    const { first } = held;
    held.first = Math.min(held.end, first + MOST_OFFSETS);
    if (held.first === held.end) this.#heap.shift();
    return this.#ranges.remove(first, held.first);
  }

  /** Takes out what is held back of [first, end), and returns it. */
  remove(first: number, end: number): OffsetRange[] {
    const removed = this.#ranges.remove(first, end);
    // Entries of messages that are gone would keep the topic's timer going.
    if (this.#ranges.count === 0) this.#heap.clear();
    return removed;
  }

  /** Everything with its due time, for a snapshot. */
  *items(): Generator<OffsetRange & { due: number }> {
    for (const { due, first, end } of this.#heap.sorted()) {
      for (const range of this.#ranges.within(first, end)) yield { ...range, due };
    }
  }
}
