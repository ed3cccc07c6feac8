/** A time limit that several waits share. */
import type { Clock } from "../wire/clock.ts";

export class TimeLimit {
  readonly #over: Promise<void>;
  /** Cancels the limit. */
  end!: () => void;

  constructor(clock: Clock, ms: number) {
    this.#over = new Promise((resolve) => {
      this.end = clock.after(ms, resolve);
    });
  }

  /** Settles like `promise`, or rejects with the result of `late` if the limit passes first. */
  race<T>(promise: Promise<T>, late: () => Error): Promise<T> {
    return Promise.race([
      promise,
      this.#over.then(() => {
        throw late();
      }),
    ]);
  }
}
