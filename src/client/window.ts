/**
 * How many messages may wait here while others could take them, for consumers that compete: many where the program
 * takes them faster than they come, and none where one would wait while it works on another.
 *
 * Measured is what the program takes for a message, from the first that it was handed to its asking for one more. It
 * may have at most as many waiting as it takes in HORIZON_MS, and comes there by adding half, as long as every
 * pull is filled. It begins with none: idle consumers share what comes.
 */
import type { Clock } from "../wire/clock.ts";

/** So many may be waiting here for others to notice nothing. */
const LITTLE = 4;
const MOST = 2_048;
/** Longer than a message waits here. Short enough to be fair, long enough to hide the way to the server. */
const HORIZON_MS = 20;
/** So many messages are measured together: looking at the clock costs as much as handing out one. */
const SAMPLE = 64;

/** Always holds: `size` is 0 to MOST. */
export class Window {
  size = 0;
  readonly #clock: Clock;
  /** Messages that were handed out in this measurement, and when it began. */
  #taken = 0;
  #since = 0;
  /** Whether a pull was filled since: there is a backlog. */
  #filled = false;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Whether an idle consumer should ask for less soon. */
  get isLarge(): boolean {
    return this.size > LITTLE;
  }

  /** A message was handed to the program. */
  taken(): void {
    if (this.#taken === 0) this.#since = this.#clock.now();
    this.#taken += 1;
  }

  /** The program asks for the next message; `waiting` are here. */
  asked(waiting: number): void {
    if (this.#taken === 0 || (waiting > 0 && this.#taken < SAMPLE)) return;
    const each = (this.#clock.now() - this.#since) / this.#taken;
    this.#taken = 0;
    const most = Math.min(MOST, Math.floor(HORIZON_MS / each));
    this.size = Math.min(most, this.#filled ? this.size + Math.max(1, this.size >>> 1) : this.size);
    this.#filled = false;
  }

  /** Messages that one pull asks for: half, so that one is under way while another is used up. */
  get batch(): number {
    return Math.max(1, this.size >>> 1);
  }

  /** A pull for `asked` messages was filled. Smaller ones are from before it grew, and show nothing new. */
  filled(asked: number): void {
    if (asked >= this.batch) this.#filled = true;
  }

  /** A pull was answered with nothing: there is no backlog. */
  idle(): void {
    this.size = 0;
  }
}
