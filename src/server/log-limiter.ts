/** Lets what clients can cause into the log at a bounded rate, and counts what it leaves out. */
import type { Clock } from "../wire/clock.ts";

const LINES = 10;
const PER_MS = 60_000;
/** Names and headers of clients may be long. */
const MAX_CHARACTERS = 500;

export class LogLimiter {
  readonly #clock: Clock;
  readonly #write: (line: string) => void;
  #since = Number.NEGATIVE_INFINITY;
  #written = 0;
  #leftOut = 0;

  constructor(clock: Clock, write: (line: string) => void) {
    this.#clock = clock;
    this.#write = write;
  }

  /** At most ten lines a minute; the first of the next minute says how many were left out. */
  log(line: string): void {
    const now = this.#clock.now();
    if (now - this.#since >= PER_MS) {
      this.#since = now;
      this.#written = 0;
      if (this.#leftOut > 0) this.#write(`${this.#leftOut} more lines like the last were left out`);
      this.#leftOut = 0;
    }
    if (this.#written >= LINES) {
      this.#leftOut += 1;
      return;
    }
    this.#written += 1;
    this.#write(line.length > MAX_CHARACTERS ? `${line.slice(0, MAX_CHARACTERS)}…` : line);
  }
}
