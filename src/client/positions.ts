/**
 * The positions of one consume stream: which were delivered, handed to the program, settled, and reported as such.
 *
 * Always holds: every position below `#floor` is settled; `#above` are the settled ranges above it, ascending and
 * touching neither each other nor the floor; `handed` and `#floor` are at most `end`; `answered` counts each position
 * at most once.
 */
import { HeldBytes } from "./held-bytes.ts";

/** The positions [from, to). */
export interface Range {
  from: number;
  to: number;
}

export class Positions {
  /** Positions below this were received. */
  end = 0;
  /** Positions below this were handed to the program, or discarded. */
  handed = 0;
  /** The stream is gone: settling its messages has no effect any more. */
  ended = false;
  /** How many positions the program settled in any way, without those that a rewind gave back. */
  answered = 0;
  /** How many of those the server has confirmed. */
  confirmed = 0;
  readonly #held = new HeldBytes();
  #floor = 0;
  /** The bytes of positions below this are released; those of the positions from here to the floor are not yet. */
  #released = 0;
  /** `#floor` and `handed` as last sent to the server. */
  #told = 0;
  #toldHanded = 0;
  readonly #above: Range[] = [];
  /** Positions in `#above`. */
  #settledAbove = 0;
  /** Ranges that were acknowledged above the floor and are unsent; the floor may have passed them since. */
  #done: Range[] = [];

  /** Received and not settled. */
  get unsettled(): number {
    return this.end - this.#floor - this.#settledAbove;
  }

  /** Bytes of what is unsettled. */
  get heldBytes(): number {
    this.#release();
    return this.#held.bytes;
  }

  /** Whether an acknowledgement or `handed` is unsent. */
  get isDirty(): boolean {
    return this.#floor > this.#told || this.#done.length > 0 || this.handed > this.#toldHanded;
  }

  /** The positions [end, to) arrived, of `bytes` in all. */
  received(to: number, bytes: number): void {
    this.#held.add(this.end, to, bytes);
    this.end = to;
  }

  isSettled(position: number): boolean {
    return !this.hasUnsettled(position, position + 1);
  }

  /** Whether anything in [from, to) is not settled. */
  hasUnsettled(from: number, to: number): boolean {
    let position = Math.max(from, this.#floor);
    for (let index = this.#indexOf(position); position < to; index++) {
      const range = this.#above[index];
      if (range === undefined || range.from > position) return true;
      position = range.to;
    }
    return false;
  }

  /** Acknowledges `position`; a second call changes nothing. */
  done(position: number): void {
    if (position === this.#floor) {
      // In order: the hot case. Its bytes are released later, together with others.
      this.answered += 1;
      this.#floor = position + 1;
      if (this.#above.length > 0) this.#raise();
      return;
    }
    if (this.isSettled(position)) return;
    this.#answer(position, position + 1);
    this.#insert(position, position + 1);
    const last = this.#done.at(-1);
    if (last !== undefined && last.to === position) last.to += 1;
    else this.#done.push({ from: position, to: position + 1 });
  }

  /** Acknowledges everything unsettled below `count`. */
  doneBelow(count: number): void {
    if (count <= this.#floor) return;
    for (const { from, to } of this.#unsettledIn(this.#floor, count)) this.#answer(from, to);
    this.#floor = count;
    this.#released = count;
    this.#raise();
  }

  /** `position`, which is not settled, was retried or rejected, and the server knows. */
  answer(position: number): void {
    this.#answer(position, position + 1);
    this.#insert(position, position + 1);
    this.#raise();
  }

  /** The unsettled positions in [from, to) were given back by a rewind, or discarded: the server knows. */
  gone(from: number, to: number): void {
    const start = Math.max(from, this.#floor);
    if (start >= to) return;
    this.#release();
    for (const range of this.#unsettledIn(start, to)) this.#held.release(range.from, range.to);
    this.#insert(start, to);
    this.#raise();
  }

  /**
   * Returns what is unsent, which then counts as sent: everything below `count` and in `ranges` is done, everything
   * below `handed` was handed out.
   */
  take(): { count: number | undefined; ranges: Range[]; handed: number | undefined } {
    const count = this.#floor > this.#told ? this.#floor : undefined;
    this.#told = this.#floor;
    const done = this.#done.sort((a, b) => a.from - b.from);
    if (done.length > 0) this.#done = [];
    const ranges: Range[] = [];
    for (const range of done) {
      const from = Math.max(range.from, this.#floor);
      const last = ranges.at(-1);
      if (from >= range.to) continue;
      if (last?.to === from) last.to = range.to;
      else ranges.push({ from, to: range.to });
    }
    return { count, ranges, handed: this.takeHanded() };
  }

  /** Returns `handed` if the server does not know it yet; it then counts as sent. */
  takeHanded(): number | undefined {
    const { handed } = this;
    // An acknowledgement implies it.
    const told = Math.max(this.#toldHanded, this.#told);
    this.#toldHanded = handed;
    return handed > told ? handed : undefined;
  }

  /** The program settled [from, to), none of which was settled before. */
  #answer(from: number, to: number): void {
    this.#release();
    this.answered += to - from;
    this.#held.release(from, to);
  }

  /** Releases the bytes of what was settled in order since the last call. */
  #release(): void {
    if (this.#released < this.#floor) this.#held.release(this.#released, this.#floor);
    this.#released = this.#floor;
  }

  /** The unsettled ranges in [from, to). */
  #unsettledIn(from: number, to: number): Range[] {
    const gaps: Range[] = [];
    let position = from;
    for (let index = this.#indexOf(from); position < to; index++) {
      const range = this.#above[index];
      const gapEnd = Math.min(to, range?.from ?? to);
      if (gapEnd > position) gaps.push({ from: position, to: gapEnd });
      position = range?.to ?? to;
    }
    return gaps;
  }

  /** The index of the first range that ends above `position`. */
  #indexOf(position: number): number {
    const ranges = this.#above;
    let low = 0;
    let high = ranges.length;
    // Most lookups are at the end.
    if (high === 0 || ranges[high - 1]!.to <= position) return high;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (ranges[middle]!.to <= position) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** Adds [from, to) to `#above`, merged with every range that it touches. */
  #insert(from: number, to: number): void {
    const ranges = this.#above;
    const first = this.#indexOf(from - 1);
    let next = first;
    let joinedFrom = from;
    let joinedTo = to;
    for (let range = ranges[next]; range !== undefined && range.from <= to; range = ranges[next]) {
      joinedFrom = Math.min(joinedFrom, range.from);
      joinedTo = Math.max(joinedTo, range.to);
      this.#settledAbove -= range.to - range.from;
      next += 1;
    }
    this.#settledAbove += joinedTo - joinedFrom;
    const touched = ranges[first];
    if (next - first === 1 && touched !== undefined) {
      touched.from = joinedFrom;
      touched.to = joinedTo;
    } else {
      ranges.splice(first, next - first, { from: joinedFrom, to: joinedTo });
    }
  }

  /** Raises the floor over the ranges of `#above` that it has reached. */
  #raise(): void {
    this.#release();
    const ranges = this.#above;
    for (let range = ranges[0]; range !== undefined && range.from <= this.#floor; range = ranges[0]) {
      this.#floor = Math.max(this.#floor, range.to);
      this.#settledAbove -= range.to - range.from;
      ranges.shift();
    }
    this.#released = this.#floor;
  }
}
