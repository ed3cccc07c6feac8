/**
 * Where received messages end: checks that each came exactly once and as it was sent, times those that
 * carry a time, and knows when all are there.
 */
import { patternAt, STAMP_BYTES } from "./bodies.ts";
import { nowMicros } from "./clock.ts";
import type { Latency } from "./latency.ts";

/** Of one sink: how many messages came, and what was wrong. */
export interface Arrivals {
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
  /** Records how long each message took from its intended time. */
  latency?: Latency;
  /** Called after every `progressEvery` messages with the number so far. */
  progress?: (received: number) => void;
  progressEvery?: number;
}

export class Sink {
  readonly #options: SinkOptions;
  readonly #expected: number;
  readonly #first: number;
  readonly #seen: Uint8Array;
  readonly #time = new DataView(new ArrayBuffer(8));
  readonly #timeBytes = new Uint8Array(this.#time.buffer);
  #distinct = 0;
  #received = 0;
  #duplicates = 0;
  #damaged = 0;
  #nextProgress: number;
  #resolve: () => void = () => {};
  /** Resolves when every message is there, or nobody waits for the rest any longer. */
  readonly done: Promise<void>;

  constructor(options: SinkOptions) {
    this.#options = options;
    this.#first = options.first ?? 0;
    this.#expected = options.producers * options.perProducer;
    this.#seen = new Uint8Array(this.#expected);
    this.#nextProgress = options.progress ? (options.progressEvery ?? 1) : Number.POSITIVE_INFINITY;
    this.done = new Promise((resolve) => {
      this.#resolve = resolve;
    });
  }

  get full(): boolean {
    return this.#distinct === this.#expected;
  }

  /** Waits no longer for what is missing. */
  giveUp(): void {
    this.#resolve();
  }

  get received(): number {
    return this.#received;
  }

  /** Takes one message; true when it was the last one missing. */
  bytes(body: Uint8Array): boolean {
    const { size, latency } = this.#options;
    if (body.length !== size || (size > STAMP_BYTES && body[size - 1] !== patternAt(size - 1))) {
      this.#damaged += 1;
      return this.full;
    }
    if (latency !== undefined) {
      this.#timeBytes.set(body.subarray(8, STAMP_BYTES));
      const intended = this.#time.getFloat64(0, true);
      if (intended > 0) latency.record(nowMicros() - intended);
    }
    return this.#arrived(uint32(body, 0), uint32(body, 4));
  }

  /** Takes one message that came as text. */
  text(body: string): boolean {
    const [producer, seq, intended] = body.split(":", 3);
    if (body.length < this.#options.size) this.#damaged += 1;
    if (Number(intended) > 0) this.#options.latency?.record(nowMicros() - Number(intended));
    return this.#arrived(Number(producer), Number(seq));
  }

  arrivals(): Arrivals {
    return {
      received: this.#received,
      duplicates: this.#duplicates,
      missing: this.#expected - this.#distinct,
      damaged: this.#damaged,
    };
  }

  #arrived(producer: number, numbered: number): boolean {
    this.#received += 1;
    const seq = numbered - this.#first;
    const at = producer * this.#options.perProducer + seq;
    if (!(seq >= 0 && seq < this.#options.perProducer && at < this.#expected)) this.#damaged += 1;
    else if (this.#seen[at] === 1) this.#duplicates += 1;
    else {
      this.#seen[at] = 1;
      this.#distinct += 1;
    }
    if (this.#received >= this.#nextProgress) {
      this.#nextProgress += this.#options.progressEvery ?? 1;
      this.#options.progress?.(this.#received);
    }
    if (!this.full) return false;
    this.#resolve();
    return true;
  }
}

function uint32(body: Uint8Array, at: number): number {
  return (body[at]! | (body[at + 1]! << 8) | (body[at + 2]! << 16) | (body[at + 3]! << 24)) >>> 0;
}
