/**
 * A set of offsets as ranges in order, each with how often its messages were delivered, and until when it is
 * held back.
 *
 * Always holds: ranges are disjoint, not empty, and ascending; neighbours that touch differ in deliveries or in
 * hold; `count` is the sum of their lengths.
 */
import type { Due } from "./due-heap.ts";
import { SortedList } from "./sorted-list.ts";

export interface OffsetRange extends Due {
  first: number;
  /** Above the last. */
  end: number;
  deliveries: number;
  /** Until then, by the broker's clock, it is held back; 0: it is not. */
  readonly due: number;
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

  /**
   * Adds offsets of which none is in the set. `tight`: no range is added where they touch one; both are then held
   * until the later of their times, and count the fewer of their deliveries.
   */
  add(first: number, end: number, deliveries: number, due = 0, tight = false): void {
    if (first >= end) return;
    this.#count += end - first;
    const before = this.#ranges.floor(first);
    const behind = this.#ranges.above(first);
    const isAlike = (range: OffsetRange) => range.deliveries === deliveries && range.due === due;
    const touchesBefore = before !== undefined && before.end === first;
    const touchesBehind = behind !== undefined && behind.first === end;
    const joinsBefore = touchesBefore && isAlike(before);
    const joinsBehind = touchesBehind && isAlike(behind);
    if (joinsBefore && joinsBehind) {
      this.#removeRange(behind);
      before.end = behind.end;
    } else if (joinsBefore) before.end = end;
    else if (joinsBehind) behind.first = first;
    else if (tight && touchesBefore) this.#widen(before, first, end, deliveries, due);
    else if (tight && touchesBehind) this.#widen(behind, first, end, deliveries, due);
    else this.#addRange({ first, end, deliveries, due, order: 0, slot: -1 });
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

  [Symbol.iterator](): IterableIterator<OffsetRange> {
    return this.#ranges[Symbol.iterator]();
  }

  /** A range was added. */
  protected added(_range: OffsetRange): void {}

  /** A range is gone. */
  protected removed(_range: OffsetRange): void {}

  #addRange(range: OffsetRange): void {
    this.#ranges.add(range);
    this.added(range);
  }

  #removeRange(range: OffsetRange): void {
    this.#ranges.remove(range);
    this.removed(range);
  }

  /** Puts offsets that touch a range, and are not alike, into it. */
  #widen(range: OffsetRange, first: number, end: number, deliveries: number, due: number): void {
    this.#removeRange(range);
    this.#count -= range.end - range.first + end - first;
    this.add(
      Math.min(range.first, first),
      Math.max(range.end, end),
      Math.min(range.deliveries, deliveries),
      Math.max(range.due, due),
    );
  }

  /** Takes [from, to), which is not empty, out of a range. */
  #cut(range: OffsetRange, from: number, to: number): OffsetRange {
    const { end } = range;
    this.#count -= to - from;
    if (range.first < from) {
      range.end = from;
      if (to < end) this.#addRange({ ...range, first: to, end });
    } else if (to < end) {
      range.first = to;
    } else {
      this.#removeRange(range);
    }
    return { ...range, first: from, end: to };
  }
}
