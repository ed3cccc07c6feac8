/**
 * Messages given back with a delay: they return when it is over.
 *
 * Always holds: every offset of `#ranges` is in the waiting of exactly one timer.
 */

import type { TopicView } from "../host.ts";
import { type OffsetRange, RangeSet } from "../range-set.ts";
import type { Timer } from "../timers.ts";

export class HeldBack {
  readonly #topic: TopicView;
  readonly #ranges = new RangeSet();
  readonly #waiting = new Map<Timer, { readonly first: number; readonly end: number }>();

  constructor(topic: TopicView) {
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
      this.#waiting.delete(timer);
      // What was dropped meanwhile is no longer in the set; offsets are never used again.
      for (const range of this.#ranges.remove(first, end)) {
        this.#topic.returned.add(range.first, range.end, range.deliveries);
      }
      this.#topic.dispatcher.pump();
    });
    this.#waiting.set(timer, { first, end });
  }

  remove(first: number, end: number): OffsetRange[] {
    return this.#ranges.remove(first, end);
  }

  /** Everything with its due time, for a snapshot. */
  *items(): Generator<OffsetRange & { due: number }> {
    for (const [timer, { first, end }] of this.#waiting) {
      for (const range of this.#ranges.within(first, end)) yield { ...range, due: timer.due };
    }
  }

  close(): void {
    for (const timer of this.#waiting.keys()) this.#topic.host.timers.cancel(timer);
    this.#waiting.clear();
  }
}
