/**
 * What is delivered to one consumer and not settled yet: runs of positions and the offsets behind them.
 *
 * Always holds: runs ascend in position, are disjoint and not empty; `nextPosition` is above them all.
 */
import { Fifo } from "../../wire/fifo.ts";

export interface LeaseRun {
  position: number;
  firstOffset: number;
  count: number;
  /** How often the messages were delivered before. */
  deliveries: number;
}

export class Lease {
  readonly #runs = new Fifo<LeaseRun>();
  /** The position of the next message that is delivered. */
  nextPosition = 0;
  /** Messages not settled. */
  count = 0;

  add(firstOffset: number, count: number, deliveries: number): void {
    this.#runs.push({ position: this.nextPosition, firstOffset, count, deliveries });
    this.nextPosition += count;
    this.count += count;
  }

  /** Takes out every position below `end`, calling `settle` with the offsets. */
  takeBelow(end: number, settle: (firstOffset: number, count: number) => void): void {
    for (let run = this.#runs.first(); run !== undefined && run.position < end; run = this.#runs.first()) {
      const taken = Math.min(run.count, end - run.position);
      const firstOffset = run.firstOffset;
      this.count -= taken;
      if (taken === run.count) {
        this.#runs.shift();
      } else {
        run.position += taken;
        run.firstOffset += taken;
        run.count -= taken;
      }
      settle(firstOffset, taken);
    }
  }

  /** Takes out what is unsettled of [position, end), in order. */
  take(position: number, end: number): LeaseRun[] {
    const taken: LeaseRun[] = [];
    let index = this.#indexOf(position);
    for (
      let run = this.#runs.at(index);
      run !== undefined && run.position < end;
      run = this.#runs.at(index)
    ) {
      const from = Math.max(position, run.position);
      const to = Math.min(end, run.position + run.count);
      if (from >= to) {
        index += 1;
        continue;
      }
      taken.push(part(run, from, to));
      this.count -= to - from;
      const rest: LeaseRun[] = [];
      if (run.position < from) rest.push(part(run, run.position, from));
      if (to < run.position + run.count) rest.push(part(run, to, run.position + run.count));
      this.#runs.splice(index, 1, ...rest);
      index += rest.length;
    }
    return taken;
  }

  /** Takes out everything, in order. */
  takeAll(): LeaseRun[] {
    const all = [...this.#runs];
    this.#runs.clear();
    this.count = 0;
    return all;
  }

  [Symbol.iterator](): IterableIterator<LeaseRun> {
    return this.#runs[Symbol.iterator]();
  }

  /** The index of the first run that ends above `position`. */
  #indexOf(position: number): number {
    let low = 0;
    let high = this.#runs.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const run = this.#runs.at(middle)!;
      if (run.position + run.count <= position) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

function part(run: LeaseRun, from: number, to: number): LeaseRun {
  return {
    position: from,
    firstOffset: run.firstOffset + from - run.position,
    count: to - from,
    deliveries: run.deliveries,
  };
}
