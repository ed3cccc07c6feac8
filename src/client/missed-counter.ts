/** Counts the messages that a subscriber missed. */

/**
 * Works out from the server's running counts how many messages were missed.
 *
 * Always holds: `#expected` is the running count in `#epoch` after everything seen or counted as missed.
 */
export class MissedCounter {
  /** Messages published since the first stream opened that the subscriber did not see. */
  missed = 0;
  #epoch: string | undefined;
  #expected = 0;

  /** A stream has opened. What was published between two streams counts as missed; before the first it does not. */
  opened(epoch: string, published: number): void {
    if (this.#epoch !== undefined) return this.seen(epoch, published, 0);
    this.#epoch = epoch;
    this.#expected = published;
  }

  /** `count` messages arrived; `published` were published before them in this epoch. */
  seen(epoch: string, published: number, count: number): void {
    if (epoch !== this.#epoch) {
      // The topic was recreated; how much the old one published in the end is unknown.
      this.#epoch = epoch;
      this.#expected = 0;
    }
    // A count that is older than a frame already seen says nothing new.
    if (published > this.#expected) this.missed += published - this.#expected;
    this.#expected = Math.max(this.#expected, published + count);
  }
}
