/**
 * A set of offsets as ranges in order, each with how often its messages were delivered, and until when it is
 * held back.
 *
 * Always holds: ranges are disjoint, not empty, and ascending; neighbours that touch differ in deliveries or in
 * hold; `count` is the sum of their lengths.
 */
import { SortedList } from "./sorted-list.ts";

export interface OffsetRange {
  first: number;
  /** Above the last. */
  end: number;
  deliveries: number;
  /** Until then, by the broker's clock, nothing of it and nothing behind it is delivered; 0: it is not held. */
  heldUntil: number;
}

/** What one range costs, in bytes, measured roughly. */
const RANGE_BYTES = 64;

const endOf = ({ end }: OffsetRange): number => end;

export class RangeSet {
  readonly #ranges = new SortedList<OffsetRange>((range) => range.first);
  #count = 0;

  get count(): number {
    return this.#count;
  }

  get memory(): number {
    return this.#ranges.length * RANGE_BYTES;
  }

  first(): OffsetRange | undefined {
    return this.#ranges.first();
  }

  /** Adds offsets of which none is in the set. */
  add(first: number, end: number, deliveries: number, heldUntil = 0): void {
    if (first >= end) return;
    this.#count += end - first;
    const before = this.#ranges.floor(first);
    const behind = this.#ranges.above(first);
    const isAlike = (range: OffsetRange) => range.deliveries === deliveries && range.heldUntil === heldUntil;
    const joinsBefore = before !== undefined && before.end === first && isAlike(before);
    const joinsBehind = behind !== undefined && behind.first === end && isAlike(behind);
    if (joinsBefore && joinsBehind) {
      this.#ranges.remove(behind);
      before.end = behind.end;
    } else if (joinsBefore) before.end = end;
    else if (joinsBehind) behind.first = first;
    else this.#ranges.add({ first, end, deliveries, heldUntil });
  }

  /** Removes the offsets [first, end) and returns those that were in the set. */
  remove(first: number, end: number): OffsetRange[] {
    const removed: OffsetRange[] = [];
    if (this.#count === 0 || first >= end) return removed;
    let range = this.#ranges.endingAbove(first, endOf);
    while (range !== undefined && range.first < end) {
      const next = range.end < end ? this.#ranges.above(range.first) : undefined;
      removed.push(this.#cut(range, Math.max(first, range.first), Math.min(end, range.end)));
      range = next;
    }
    return removed;
  }

  /** The offsets of [first, end) that are in the set. */
  *within(first: number, end: number): Generator<OffsetRange> {
    if (first >= end) return;
    let range = this.#ranges.endingAbove(first, endOf);
    for (; range !== undefined && range.first < end; range = this.#ranges.above(range.first)) {
      yield { ...range, first: Math.max(first, range.first), end: Math.min(end, range.end) };
    }
  }

  [Symbol.iterator](): IterableIterator<OffsetRange> {
    return this.#ranges[Symbol.iterator]();
  }

  /** Takes [from, to), which is not empty, out of a range. */
  #cut(range: OffsetRange, from: number, to: number): OffsetRange {
    const { end } = range;
    this.#count -= to - from;
    if (range.first < from) {
      range.end = from;
      if (to < end) this.#ranges.add({ ...range, first: to, end });
    } else if (to < end) {
      range.first = to;
    } else {
      this.#ranges.remove(range);
    }
    return { ...range, first: from, end: to };
  }
}
