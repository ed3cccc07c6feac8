/**
 * Which topic holds most, for what is dropped. A look at all topics finds several at once: where ten thousand hold
 * about the same, there must not be one for each drop.
 *
 * Always holds: `#found` has what the last look found, the largest last; who grew since then is not seen before
 * the next look, unless the topics are few.
 */

/** What is looked at. */
export interface Holding {
  readonly memory: number;
  /** Whether it has nothing that could be dropped. */
  readonly isDrained: boolean;
}

/** So many topics are looked at each time. */
const FEW = 64;
/** The share of the others that one look finds. */
const FOUND = 1 / 16;

export class LargestTopics<T extends Holding> {
  readonly #topics: ReadonlyMap<unknown, T>;
  #found: T[] = [];

  constructor(topics: ReadonlyMap<unknown, T>) {
    this.#topics = topics;
  }

  /**
   * One that holds more than `share`, or else the one that holds most, of those that have something to drop; null
   * if there is none. The same as before as long as that is true of it.
   */
  next(share: number): T | null {
    for (let topic = this.#found.at(-1); topic !== undefined; topic = this.#found.at(-1)) {
      const rival = this.#found.at(-2);
      if (!topic.isDrained) {
        if (topic.memory > share) return topic;
        if (rival !== undefined && this.#topics.size > FEW && topic.memory >= rival.memory) return topic;
      }
      this.#found.pop();
    }
    this.#found = [...this.#topics.values()].filter(({ isDrained }) => !isDrained);
    this.#found.sort((one, other) => one.memory - other.memory);
    this.#found.splice(0, this.#found.length - Math.max(2, Math.ceil(this.#found.length * FOUND)));
    return this.#found.at(-1) ?? null;
  }
}
