/** Running counts of messages. What each counts: admin.proto. */
import type { Counters } from "../gen/tinymq/v1/admin.ts";

export type CounterName = keyof Counters;

// Not made by the generated code, which a server without a caller of Admin need not load.
export const zeroCounters = (): Counters => ({
  produced: 0,
  delivered: 0,
  acked: 0,
  redelivered: 0,
  deadLettered: 0,
  expired: 0,
  dropped: 0,
  rejected: 0,
  published: 0,
  purged: 0,
  duplicates: 0,
});

/** The counts of one topic. Always holds: what is counted here is counted in the server's total, too. */
export class Tally {
  readonly counters: Counters = zeroCounters();
  readonly #total: Counters;

  constructor(total: Counters) {
    this.#total = total;
  }

  count(counter: CounterName, messages: number): void {
    this.counters[counter] += messages;
    this.#total[counter] += messages;
  }
}
