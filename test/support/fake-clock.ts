/** A clock that stands still until a test moves it. */
import type { Clock } from "../../src/wire/clock.ts";

interface Waiting {
  readonly due: number;
  readonly run: () => void;
}

/** Some moment of 2023, so that times for people look like times. */
const WALL_START = 1_700_000_000_000;

export class FakeClock implements Clock {
  #now = 0;
  /** In the order in which they were set. */
  readonly #waiting = new Set<Waiting>();

  now(): number {
    return this.#now;
  }

  wall(): number {
    return WALL_START + this.#now;
  }

  after(ms: number, run: () => void): () => void {
    const waiting: Waiting = { due: this.#now + Math.max(0, ms), run };
    this.#waiting.add(waiting);
    return () => this.#waiting.delete(waiting);
  }

  /** Timers that are set. */
  get pending(): number {
    return this.#waiting.size;
  }

  /** When the next of what waits is due; Infinity: nothing waits. */
  get nextDue(): number {
    let next = Number.POSITIVE_INFINITY;
    for (const { due } of this.#waiting) next = Math.min(next, due);
    return next;
  }

  /** Moves on by `ms` and runs all that is due on the way, in order, each at its own time. */
  advance(ms: number): void {
    const end = this.#now + ms;
    while (this.nextDue <= end) this.runNext();
    this.#now = end;
  }

  /** Moves on by `ms` and runs nothing: all that is due by then is late, and due together. */
  skip(ms: number): void {
    this.#now += ms;
  }

  /** Moves on to what is due next and runs it; of those due together the first that was set. */
  runNext(): void {
    const due = this.nextDue;
    for (const waiting of this.#waiting) {
      if (waiting.due !== due) continue;
      this.#waiting.delete(waiting);
      this.#now = Math.max(this.#now, due);
      waiting.run();
      return;
    }
  }
}
