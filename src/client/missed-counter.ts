/** How many messages a subscriber did not see. */

/**
 * How many messages a subscriber missed, told by the running counts that the server sends.
 *
 * Always holds: `#expected` is the running count after all that was seen or counted as missed, in `#epoch`.
 */
export class MissedCounter {
  /** Published on the topic while we were subscribed, and not seen. */
  missed = 0;
  #epoch: string | undefined;
  #expected = 0;

  /** A stream is open. What was published between two streams was missed; before the first it was not. */
  opened(epoch: string, published: number): void {
    if (this.#epoch !== undefined) return this.seen(epoch, published, 0);
    this.#epoch = epoch;
    this.#expected = published;
  }

  /** `count` messages came, `published` ones were published before them in this epoch. */
  seen(epoch: string, published: number, count: number): void {
    if (epoch !== this.#epoch) {
      // The topic was made anew. What the old one published last nobody can tell any more.
      this.#epoch = epoch;
      this.#expected = 0;
    }
    // A count from before a frame that was seen already tells nothing new.
    if (published > this.#expected) this.missed += published - this.#expected;
    this.#expected = Math.max(this.#expected, published + count);
  }
}
