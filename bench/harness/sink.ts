/** Where received messages end: counts and times them, and knows when all have arrived. */
import { Arrivals, Seen } from "../../cli/bench/measuring/arrivals.ts";
import { BodyReader } from "../../cli/bench/measuring/body.ts";
import { nowMicros } from "../../cli/bench/measuring/clock.ts";
import type { Histogram } from "../../cli/bench/measuring/histogram.ts";
import { HEAD_BYTES, numberOf, producerOf } from "./bodies.ts";

/** What one sink received. */
export interface ReceivedCounts {
  received: number;
  duplicates: number;
  missing: number;
  /** Wrong length, content or number. */
  damaged: number;
}

export interface SinkOptions {
  /** Producers whose messages come. */
  producers: number;
  /** Messages of each. */
  perProducer: number;
  /** Number of the first one. */
  first?: number;
  /** Bytes of a body. */
  size: number;
  /** Records how long each message that tells its intended send time took from then. */
  latency: Histogram;
  /** Called after every `progressEvery` messages with the number so far. */
  progress?: (received: number) => void;
  progressEvery?: number;
}

export class Sink {
  readonly #options: SinkOptions;
  readonly #expected: number;
  readonly #arrivals: Arrivals;
  readonly #reader: BodyReader;
  #received = 0;
  #nextProgress: number;
  #resolve: () => void = () => {};
  /** Resolves when every message has arrived, or the missing ones are given up. */
  readonly done: Promise<void>;

  constructor(options: SinkOptions) {
    const { producers, perProducer, first = 0, size, latency } = options;
    this.#options = options;
    this.#expected = producers * perProducer;
    const expected = { first: first * producers, count: this.#expected, producers, unrecorded: 0 };
    this.#arrivals = new Arrivals(expected, new Seen(this.#expected), latency);
    this.#reader = new BodyReader(size, HEAD_BYTES);
    this.#nextProgress = options.progress ? (options.progressEvery ?? 1) : Number.POSITIVE_INFINITY;
    this.done = new Promise((resolve) => {
      this.#resolve = resolve;
    });
  }

  get full(): boolean {
    return this.#arrivals.distinct === this.#expected;
  }

  /** The missing messages are not waited for any longer. */
  giveUp(): void {
    this.#resolve();
  }

  get received(): number {
    return this.#received;
  }

  /** Takes one message; true when it was the last one missing. */
  bytes(body: Uint8Array): boolean {
    return this.#take(producerOf(body), numberOf(body), this.#reader.time(body));
  }

  /** Takes one message that came as text. */
  text(body: string): boolean {
    const [producer, seq, intended] = body.split(":", 3);
    const isWhole = body.length >= this.#options.size;
    return this.#take(Number(producer), Number(seq), isWhole ? Number(intended) : Number.NaN);
  }

  counts(): ReceivedCounts {
    const { distinct, duplicates, damaged, foreign } = this.#arrivals;
    return {
      received: this.#received,
      duplicates,
      missing: this.#expected - distinct,
      damaged: damaged + foreign,
    };
  }

  /** `intended`: 0 if the body tells no time, NaN if it is damaged. */
  #take(producer: number, seq: number, intended: number): boolean {
    const { producers, progressEvery, progress } = this.#options;
    const id = producer < producers ? seq * producers + producer : Number.NaN;
    this.#received += 1;
    // The time is asked for only where it is needed: that takes longer than all the rest.
    this.#arrivals.add(id, intended, intended > 0 ? nowMicros() : 0);
    if (this.#received >= this.#nextProgress) {
      this.#nextProgress += progressEvery ?? 1;
      progress?.(this.#received);
    }
    if (!this.full) return false;
    this.#resolve();
    return true;
  }
}
