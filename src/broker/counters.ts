/** Running counts of messages. What each counts: admin.proto. */

export interface Counters {
  produced: number;
  delivered: number;
  acked: number;
  redelivered: number;
  deadLettered: number;
  expired: number;
  dropped: number;
  rejected: number;
  published: number;
  purged: number;
  duplicates: number;
}

export type CounterName = keyof Counters;

export function zeroCounters(): Counters {
  return {
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
  };
}

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
