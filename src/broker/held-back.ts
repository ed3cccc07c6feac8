/** Messages given back with a delay: they return when it is over. */
import { RangeSet } from "./range-set.ts";
import type { Timer } from "./timers.ts";
import type { Topic } from "./topic.ts";

export class HeldBack {
  readonly #topic: Topic;
  readonly #ranges = new RangeSet();
  readonly #timers = new Set<Timer>();

  constructor(topic: Topic) {
    this.#topic = topic;
  }

  get count(): number {
    return this.#ranges.count;
  }

  /** The lowest offset held back. */
  first(): number | undefined {
    return this.#ranges.first()?.first;
  }

  add(first: number, end: number, deliveries: number, delayMs: number): void {
    this.#ranges.add(first, end, deliveries);
    const timer = this.#topic.host.timers.after(delayMs, () => {
      this.#timers.delete(timer);
      // What was dropped meanwhile is no longer in the set; offsets are never used again.
      for (const range of this.#ranges.remove(first, end)) {
        this.#topic.returned.add(range.first, range.end, range.deliveries);
      }
      this.#topic.dispatcher.pump();
    });
    this.#timers.add(timer);
  }

  remove(first: number, end: number): { first: number; end: number; deliveries: number }[] {
    return this.#ranges.remove(first, end);
  }

  ranges(): Iterable<{ first: number; end: number; deliveries: number }> {
    return this.#ranges;
  }

  close(): void {
    for (const timer of this.#timers) this.#topic.host.timers.cancel(timer);
    this.#timers.clear();
  }
}
