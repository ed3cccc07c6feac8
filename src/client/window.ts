/**
 * How many messages a consumer that competes with others prefetches: many while its program is fast, none while they
 * would wait for the program although another consumer could take them.
 *
 * The window starts at 0, so that idle consumers share what arrives. It grows by half while pulls are filled, up to
 * what the program gets through in HORIZON_MS. The time per message is measured from the first that was handed out
 * until the program asks for one that is not here, or for SAMPLE messages.
 */
import type { Clock } from "../wire/clock.ts";

/** A window of this size does not yet hurt other consumers. */
const LITTLE = 4;
const MOST = 2_048;
/** How long a prefetched message may wait, in ms: short enough to be fair, long enough to hide the round trip. */
const HORIZON_MS = 20;
/** Messages per measurement at most: reading the clock costs as much as handing out a message. */
const SAMPLE = 64;

/** Always holds: `size` is 0 to MOST. */
export class Window {
  size = 0;
  readonly #clock: Clock;
  /** Messages handed out in the current measurement, and when it began. */
  #taken = 0;
  #since = 0;
  /** Whether a pull was filled since the last measurement, so that there is a backlog. */
  #filled = false;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Whether pulls must not wait long, so that an idle consumer soon asks for less. */
  get isLarge(): boolean {
    return this.size > LITTLE;
  }

  /** A message was handed to the program. */
  taken(): void {
    if (this.#taken === 0) this.#since = this.#clock.now();
    this.#taken += 1;
  }

  /** The program asks for the next message; `waiting` are in the inbox. */
  asked(waiting: number): void {
    if (this.#taken === 0 || (waiting > 0 && this.#taken < SAMPLE)) return;
    const each = (this.#clock.now() - this.#since) / this.#taken;
    this.#taken = 0;
    const most = Math.min(MOST, Math.floor(HORIZON_MS / each));
    this.size = Math.min(most, this.#filled ? this.size + Math.max(1, this.size >>> 1) : this.size);
    this.#filled = false;
  }

  /** Messages per pull: half of the window, so that one pull is in flight while another is worked off. */
  get batch(): number {
    return Math.max(1, this.size >>> 1);
  }

  /** A pull for `asked` messages was filled. One below `batch` was sent before the window grew, and shows nothing. */
  filled(asked: number): void {
    if (asked >= this.batch) this.#filled = true;
  }

  /** A pull was answered empty: there is no backlog. */
  idle(): void {
    this.size = 0;
  }
}
