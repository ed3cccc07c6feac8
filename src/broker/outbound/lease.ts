/**
 * What is delivered to one consumer and not settled yet: runs of positions and the offsets behind them.
 *
 * Always holds: runs ascend in position, are disjoint and not empty; `nextPosition` is above them all; runs
 * that follow each other in position and offset differ in deliveries, unless something between them was
 * settled.
 */
import { SortedList } from "../sorted-list.ts";

export interface LeaseRun {
  position: number;
  firstOffset: number;
  count: number;
  /** How often the messages were delivered before. */
  deliveries: number;
}

/** What one run costs, in bytes, measured roughly. */
const RUN_BYTES = 72;

const endOf = ({ position, count }: LeaseRun): number => position + count;

export class Lease {
  readonly #runs = new SortedList<LeaseRun>((run) => run.position);
  /** The position of the next message that is delivered. */
  nextPosition = 0;

  /** Runs not settled. */
  get runs(): number {
    return this.#runs.length;
  }

  get memory(): number {
    return this.#runs.length * RUN_BYTES;
  }

  add(firstOffset: number, count: number, deliveries: number): void {
    const last = this.#runs.last();
    if (
      last !== undefined &&
      last.position + last.count === this.nextPosition &&
      last.firstOffset + last.count === firstOffset &&
      last.deliveries === deliveries
    ) {
      last.count += count;
    } else {
      this.#runs.add({ position: this.nextPosition, firstOffset, count, deliveries });
    }
    this.nextPosition += count;
  }

  /** Takes out every position below `end`, calling `settle` with the offsets. */
  takeBelow(end: number, settle: (firstOffset: number, count: number) => void): void {
    for (let run = this.#runs.first(); run !== undefined && run.position < end; run = this.#runs.first()) {
      const taken = this.#cut(run, run.position, Math.min(end, run.position + run.count));
      settle(taken.firstOffset, taken.count);
    }
  }

  /** Takes out what is unsettled of [position, end), in order. */
  take(position: number, end: number): LeaseRun[] {
    const taken: LeaseRun[] = [];
    if (position >= end) return taken;
    let run = this.#runs.endingAbove(position, endOf);
    while (run !== undefined && run.position < end) {
      const runEnd: number = run.position + run.count;
      const next = runEnd < end ? this.#runs.above(run.position) : undefined;
      taken.push(this.#cut(run, Math.max(position, run.position), Math.min(end, runEnd)));
      run = next;
    }
    return taken;
  }

  /** Takes out everything, in order. */
  takeAll(): LeaseRun[] {
    const all = [...this.#runs];
    this.#runs.clear();
    return all;
  }

  [Symbol.iterator](): IterableIterator<LeaseRun> {
    return this.#runs[Symbol.iterator]();
  }

  /** Takes the positions [from, to), which are not empty, out of a run. */
  #cut(run: LeaseRun, from: number, to: number): LeaseRun {
    const taken = part(run, from, to);
    const end = run.position + run.count;
    const rest = to < end ? part(run, to, end) : null;
    if (run.position < from) {
      run.count = from - run.position;
      if (rest !== null) this.#runs.add(rest);
    } else if (rest !== null) {
      Object.assign(run, rest);
    } else {
      this.#runs.remove(run);
    }
    return taken;
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
