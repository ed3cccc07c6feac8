/**
 * A set of offsets as ranges in order, each with how often its messages were delivered.
 *
 * Always holds: ranges are disjoint, not empty, and ascending; `count` is the sum of their lengths.
 */
import { Fifo } from "../wire/fifo.ts";

export interface OffsetRange {
  first: number;
  /** Above the last. */
  end: number;
  deliveries: number;
}

export class RangeSet {
  readonly #ranges = new Fifo<OffsetRange>();
  #count = 0;

  get count(): number {
    return this.#count;
  }

  first(): OffsetRange | undefined {
    return this.#ranges.first();
  }

  /** Adds offsets of which none is in the set. */
  add(first: number, end: number, deliveries: number): void {
    if (first >= end) return;
    this.#count += end - first;
    const index = this.#indexAbove(first);
    const before = this.#ranges.at(index - 1);
    const behind = this.#ranges.at(index);
    const joinsBefore = index > 0 && before!.end === first && before!.deliveries === deliveries;
    const joinsBehind = behind !== undefined && behind.first === end && behind.deliveries === deliveries;
    if (joinsBefore && joinsBehind) {
      before!.end = behind.end;
      this.#ranges.splice(index, 1);
    } else if (joinsBefore) before!.end = end;
    else if (joinsBehind) behind.first = first;
    else if (index === this.#ranges.length) this.#ranges.push({ first, end, deliveries });
    else this.#ranges.splice(index, 0, { first, end, deliveries });
  }

  /** Removes the offsets [first, end) and returns those that were in the set. */
  remove(first: number, end: number): OffsetRange[] {
    const removed: OffsetRange[] = [];
    if (this.#count === 0) return removed;
    let index = Math.max(0, this.#indexAbove(first) - 1);
    for (
      let range = this.#ranges.at(index);
      range !== undefined && range.first < end;
      range = this.#ranges.at(index)
    ) {
      const from = Math.max(first, range.first);
      const to = Math.min(end, range.end);
      if (from >= to) {
        index += 1;
        continue;
      }
      removed.push({ first: from, end: to, deliveries: range.deliveries });
      this.#count -= to - from;
      const rest: OffsetRange[] = [];
      if (range.first < from) rest.push({ first: range.first, end: from, deliveries: range.deliveries });
      if (to < range.end) rest.push({ first: to, end: range.end, deliveries: range.deliveries });
      if (rest.length === 0 && index === 0) this.#ranges.shift();
      else this.#ranges.splice(index, 1, ...rest);
      index += rest.length;
    }
    return removed;
  }

  /** The offsets of [first, end) that are in the set. */
  *within(first: number, end: number): Generator<OffsetRange> {
    for (let index = Math.max(0, this.#indexAbove(first) - 1); ; index++) {
      const range = this.#ranges.at(index);
      if (range === undefined || range.first >= end) return;
      const from = Math.max(first, range.first);
      const to = Math.min(end, range.end);
      if (from < to) yield { first: from, end: to, deliveries: range.deliveries };
    }
  }

  clear(): void {
    this.#ranges.clear();
    this.#count = 0;
  }

  [Symbol.iterator](): IterableIterator<OffsetRange> {
    return this.#ranges[Symbol.iterator]();
  }

  /** The index of the first range that begins above `offset`. */
  #indexAbove(offset: number): number {
    let low = 0;
    let high = this.#ranges.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#ranges.at(middle)!.first <= offset) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
