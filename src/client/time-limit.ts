/** One time limit for several waits. */
import type { Clock } from "../wire/clock.ts";

export class TimeLimit {
  readonly #over: Promise<void>;
  /** Calls the limit off. */
  end!: () => void;

  constructor(clock: Clock, ms: number) {
    this.#over = new Promise((resolve) => {
      this.end = clock.after(ms, resolve);
    });
  }

  /** What `promise` settles with; rejects with what `late` makes when the limit is over before. */
  race<T>(promise: Promise<T>, late: () => Error): Promise<T> {
    return Promise.race([
      promise,
      this.#over.then(() => {
        throw late();
      }),
    ]);
  }
}
