/** Checks that every message of a run arrives exactly once and in order, and records how long each took. */
import type { Histogram } from "./histogram.ts";

/** The messages of a run. */
export interface Expected {
  /** Their ids are `first` to `first + count - 1`. */
  first: number;
  count: number;
  /** Producer p sends, in order, every message whose distance from `first` leaves p when divided by this. */
  producers: number;
  /** Messages at the beginning whose latency is not recorded, of each producer. */
  unrecorded: number;
}

/** What a receiver found. */
export interface Counts {
  /** Messages that no receiver had before. */
  distinct: number;
  duplicates: number;
  /** Bodies that are not as they were sent. */
  damaged: number;
  /** Messages that are none of this run. */
  foreign: number;
  /** Messages behind a later one of the same producer. */
  outOfOrder: number;
}

export class Arrivals implements Counts {
  distinct = 0;
  duplicates = 0;
  damaged = 0;
  foreign = 0;
  outOfOrder = 0;
  /** When the last message arrived that no receiver had before, as `add` was told; 0 if none did. */
  endedAt = 0;
  readonly latency: Histogram;
  readonly #expected: Expected;
  readonly #seen: Seen;
  /** Of each producer, the highest index that arrived. */
  readonly #highest: Float64Array;

  /** `seen` and `latency` may be shared with other receivers of the same run. */
  constructor(expected: Expected, seen: Seen, latency: Histogram) {
    this.#expected = expected;
    this.#seen = seen;
    this.latency = latency;
    this.#highest = new Float64Array(expected.producers).fill(-1);
  }

  /**
   * Takes one message; whether no receiver had it before. `sentAt`: when it was sent (at a rate: was due), 0
   * if it does not tell, NaN if it is damaged. Both times in µs of the same clock.
   */
  add(id: number, sentAt: number, now: number): boolean {
    const { first, count, producers, unrecorded } = this.#expected;
    const index = id - first;
    // Not `index >= count`: what a damaged body tells may be no number.
    if (!(index < count)) {
      this.foreign += 1;
      return false;
    }
    // Below the first are those of an earlier run, which ended when all of its messages had arrived.
    if (index < 0 || !this.#seen.add(index)) {
      this.duplicates += 1;
      return false;
    }
    if (Number.isNaN(sentAt)) this.damaged += 1;
    const producer = index % producers;
    if (index < this.#highest[producer]!) this.outOfOrder += 1;
    else this.#highest[producer] = index;
    this.distinct += 1;
    this.endedAt = now;
    if (sentAt > 0 && index >= unrecorded * producers) this.latency.record(now - sentAt);
    return true;
  }
}

/** Which messages of a run have arrived: one bit each, in memory that threads can share. */
export class Seen {
  readonly #words: Int32Array<SharedArrayBuffer>;
  /** What another thread needs to have the same. */
  readonly buffer: SharedArrayBuffer;

  /** Of `count` messages; without `buffer` a new one. */
  constructor(
    count: number,
    buffer = new SharedArrayBuffer(Math.ceil(count / 32) * Int32Array.BYTES_PER_ELEMENT),
  ) {
    this.buffer = buffer;
    this.#words = new Int32Array(buffer);
  }

  /** Message `index` has arrived; false if it had before, in any thread. */
  add(index: number): boolean {
    const bit = 1 << (index & 31);
    return (Atomics.or(this.#words, index >>> 5, bit) & bit) === 0;
  }
}
