/**
 * Messages of one topic that are not due yet. They wait in a log of their own, which is charged like any
 * other, and come out in due order; of those due together the first sent comes first.
 */
import { Log } from "../../log/log.ts";
import type { SlabPool } from "../../log/slab-pool.ts";
import { concatBytes } from "../../wire/bytes.ts";
import { type Due, DueHeap } from "../due-heap.ts";

interface Delayed extends Due {
  readonly first: number;
  readonly count: number;
  /** By the broker's clock; Infinity: never. */
  readonly expires: number;
}

/** Messages that were sent together. `due` and `expires` (Infinity: never) are times of the broker's clock. */
export interface DelayedBatch {
  readonly due: number;
  readonly expires: number;
  readonly count: number;
  readonly batch: Uint8Array;
}

export class Delays {
  readonly log: Log;
  readonly #heap = new DueHeap<Delayed>();

  constructor(pool: SlabPool) {
    this.log = new Log(pool);
  }

  get count(): number {
    return this.log.count;
  }

  get memory(): number {
    return this.log.memory + this.#heap.memory;
  }

  get nextDue(): number {
    return this.#heap.nextDue;
  }

  /** Keeps a checked batch until the clock shows `due`. */
  add({ batch, count, due, expires }: DelayedBatch): void {
    const first = this.log.append(batch, count);
    this.#heap.push({ due, first, count, expires, order: 0, slot: -1 });
  }

  /** Takes out the next batch that is due at `now`; undefined: none is. */
  takeDue(now: number): DelayedBatch | undefined {
    const entry = this.#heap.nextDue <= now ? this.#heap.shift() : undefined;
    if (entry === undefined) return undefined;
    const batch = this.#read(entry);
    this.log.release(entry.first, entry.count);
    return { ...entry, batch };
  }

  /** Everything, in due order, for a snapshot. */
  *items(): Generator<DelayedBatch> {
    for (const entry of this.#heap.sorted()) yield { ...entry, batch: this.#read(entry) };
  }

  #read({ first, count }: Delayed): Uint8Array {
    return concatBytes([...this.log.chunks(first, first + count)].flatMap(({ parts }) => parts));
  }
}
