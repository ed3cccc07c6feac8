/**
 * What one consume stream was delivered, by position, and what became of it.
 *
 * Always holds: every position below `#floor` is settled; `#above` are the settled ones from there on, so
 * `#floor` is not among them; `handed` and `#floor` are at most `end`.
 */

/** Consecutive positions. */
export interface PositionRange {
  readonly position: number;
  readonly count: number;
}

export class Lease {
  /** Positions below were received. */
  end = 0;
  /** Positions below were handed to the program, or discarded. */
  handed = 0;
  /** The stream is gone: whatever is said of its messages now means nothing. */
  ended = false;
  #floor = 0;
  /** The floor that the server was told. */
  #told = 0;
  readonly #above = new Set<number>();
  /** Positions that are done and that the server was not told of; those below the floor it need not be. */
  #done: number[] = [];

  /** Received and not settled. */
  get unsettled(): number {
    return this.end - this.#floor - this.#above.size;
  }

  /** Whether there is something to tell the server. */
  get isDirty(): boolean {
    return this.#floor > this.#told || this.#done.length > 0;
  }

  isSettled(position: number): boolean {
    return position < this.#floor || this.#above.has(position);
  }

  /** Whether anything in [from, to) is not settled. */
  hasUnsettled(from: number, to: number): boolean {
    for (let position = Math.max(from, this.#floor); position < to; position++) {
      if (!this.#above.has(position)) return true;
    }
    return false;
  }

  /** `position` is done; a second time changes nothing. */
  done(position: number): void {
    if (position === this.#floor) {
      this.#floor = position + 1;
      if (this.#above.size > 0) this.#raise();
    } else if (!this.isSettled(position)) {
      this.#above.add(position);
      this.#done.push(position);
    }
  }

  /** Everything unsettled below `count` is done. */
  doneBelow(count: number): void {
    if (count <= this.#floor) return;
    this.#floor = count;
    if (this.#above.size === 0) return;
    for (const position of this.#above) if (position < count) this.#above.delete(position);
    this.#raise();
  }

  /** [from, to) is settled, and the server knows or will be told in another way. */
  settled(from: number, to: number): void {
    for (let position = Math.max(from, this.#floor); position < to; position++) this.#above.add(position);
    this.#raise();
  }

  /** What to tell the server, which then counts as told: everything below `count`, and ranges above it. */
  take(): { count: number | undefined; ranges: PositionRange[] } {
    const count = this.#floor > this.#told ? this.#floor : undefined;
    this.#told = this.#floor;
    if (this.#done.length === 0) return { count, ranges: [] };
    const above = this.#done.filter((position) => position >= this.#floor).sort((a, b) => a - b);
    this.#done = [];
    const ranges: { position: number; count: number }[] = [];
    for (const position of above) {
      const last = ranges.at(-1);
      if (last !== undefined && last.position + last.count === position) last.count += 1;
      else ranges.push({ position, count: 1 });
    }
    return { count, ranges };
  }

  #raise(): void {
    while (this.#above.delete(this.#floor)) this.#floor += 1;
  }
}
