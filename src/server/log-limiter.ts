/** Limits the rate of log lines that clients can cause, and counts those that it leaves out. */
import type { Clock } from "../wire/clock.ts";

const LINES = 10;
const PER_MS = 60_000;
/** Lines may quote names and headers that clients chose. */
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

  /** Writes at most ten lines a minute; before the next line it says how many were left out. */
  log(line: string): void {
    const now = this.#clock.now();
    if (now - this.#since >= PER_MS) {
      this.#since = now;
      this.#written = 0;
      if (this.#leftOut > 0) this.#write(`${this.#leftOut} more lines were left out, to limit their rate`);
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
