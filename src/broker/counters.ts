/** Running counts of messages. What each counts: admin.proto. */
import { Counters } from "../gen/tinymq/v1/admin.ts";

export type CounterName = keyof Counters;

export const zeroCounters = (): Counters => Counters.create();

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
