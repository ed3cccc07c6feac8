/**
 * Messages given back alone with a delay, so that others pass them: they return when it is over.
 *
 * Always holds: every range is in the heap, once.
 */
import { DueHeap } from "../due-heap.ts";
import { type OffsetRange, RangeSet } from "../range-set.ts";

/** Offsets that are taken at once, however many are due together. */
const MOST_OFFSETS = 4_096;

export class HeldBack extends RangeSet {
  readonly #heap = new DueHeap<OffsetRange>();

  override get memory(): number {
    return super.memory + this.#heap.memory;
  }

  get nextDue(): number {
    return this.#heap.nextDue;
  }

  /** Takes out the next offsets that are due at `now`, or some of them; undefined: nothing is due. */
  takeDue(now: number): OffsetRange | undefined {
    const held = this.#heap.first();
    if (held === undefined || held.due > now) return undefined;
    return this.remove(held.first, Math.min(held.end, held.first + MOST_OFFSETS))[0];
  }

  protected override added(range: OffsetRange): void {
    this.#heap.push(range);
  }

  protected override removed(range: OffsetRange): void {
    this.#heap.remove(range);
  }
}
