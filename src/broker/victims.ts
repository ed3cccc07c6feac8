/**
 * Which topic loses messages next where memory is full: one that holds more than its share, or the one that holds most.
 */
import type { BrokerLimits } from "./broker-limits.ts";

/** Up to so many topics, all are looked at for each drop. */
const FEW_TOPICS = 64;

export interface Victim {
  /** Bytes. */
  readonly memory: number;
  /** Whether it has nothing that could be dropped. */
  readonly isDrained: boolean;
}

export class Victims<T extends Victim> {
  readonly #topics: ReadonlyMap<string, T>;
  readonly #limits: BrokerLimits;
  /** Some of those that held most when all were looked at last, the largest last. */
  #largest: T[] = [];

  constructor(topics: ReadonlyMap<string, T>, limits: BrokerLimits) {
    this.#topics = topics;
    this.#limits = limits;
  }

  /**
   * One of those that have something to drop; null: there is none. Among very many topics one look finds several: where
   * all hold about as much, there would be a look for each drop.
   */
  next(): T | null {
    const share = this.#limits.maxMemory / Math.max(1, this.#topics.size);
    for (let topic = this.#largest.at(-1); topic !== undefined; topic = this.#largest.at(-1)) {
      const next = this.#largest.at(-2);
      const isLargest = next !== undefined && this.#topics.size > FEW_TOPICS && topic.memory >= next.memory;
      if (!topic.isDrained && (topic.memory > share || isLargest)) return topic;
      this.#largest.pop();
    }
    const found = [...this.#topics.values()].filter(({ isDrained }) => !isDrained);
    found.sort((one, other) => one.memory - other.memory);
    this.#largest = found.slice(-Math.max(2, Math.ceil(found.length / 16)));
    return this.#largest.at(-1) ?? null;
  }
}
