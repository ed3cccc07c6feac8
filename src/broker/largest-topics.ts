/**
 * The topic that messages are dropped from: one that holds most. Looking at all topics finds several, and they
 * serve for several drops: with ten thousand topics of about one size, each send at the cap would look at all.
 *
 * Always holds: `#found` has some of the largest topics as of the last look, the largest last. With many topics,
 * one that grew since then is not seen before the next look.
 */

/** What it needs to know of a topic. */
export interface Holding {
  readonly memory: number;
  /** Whether it has nothing that could be dropped. */
  readonly isDrained: boolean;
}

/** Up to so many topics there is a look for each drop. */
const FEW = 64;
/** Of more, one look finds this share. */
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
