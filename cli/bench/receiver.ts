/** The consumers of one worker: they check and time what arrives. */
import type { Consumer } from "../../src/index.ts";
import { Arrivals, Seen } from "./measuring/arrivals.ts";
import { nowMicros } from "./measuring/clock.ts";
import { Histogram } from "./measuring/histogram.ts";
import type { Phase, Received } from "./protocol.ts";
import type { SharedCounts } from "./shared-counts.ts";

export class Receiver {
  readonly #counts: SharedCounts;
  /** Before the first phase every message is foreign. */
  #arrivals = new Arrivals({ first: 0, count: 0, producers: 0, unrecorded: 0 }, new Seen(0), new Histogram());

  constructor(counts: SharedCounts) {
    this.#counts = counts;
  }

  /** What arrives from now on belongs to this phase. */
  begin(phase: Phase): void {
    this.#arrivals = new Arrivals(phase, new Seen(phase.count, phase.seen), new Histogram());
  }

  /** What arrived in this phase. */
  collect(): Omit<Received, "cpu"> {
    const { endedAt, distinct, duplicates, damaged, foreign, outOfOrder, latency } = this.#arrivals;
    return { endedAt, distinct, duplicates, damaged, foreign, outOfOrder, latency };
  }

  /**
   * Takes and acknowledges all messages of consumer number `number`, whose bodies are decoded to the time of
   * their sending; resolves when it is closed.
   */
  async receive(consumer: Consumer<number>, number: number): Promise<void> {
    for await (const { id, body } of consumer) {
      if (this.#arrivals.add(id, body, nowMicros())) this.#counts.countReceived(number);
    }
  }
}
