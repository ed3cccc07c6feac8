/** One batch of a producer: its options, its messages once it is sealed, and the promise of its sends. */
import type { TinyMQError } from "../errors.ts";
import type { EncodedBatch } from "../wire/encoded-batch.ts";

export class Batch {
  /** Milliseconds; they hold for all of its messages. */
  readonly delayMs: number;
  readonly ttlMs: number;
  /** Settles when the server answered. Every send of the batch has a promise of its own behind it. */
  readonly settled: Promise<void>;
  /** Undefined while messages are added. */
  encoded: EncodedBatch | undefined;
  /** 0 until it is first sent. */
  seq = 0;
  #resolve!: () => void;
  #reject!: (error: TinyMQError) => void;

  constructor(delayMs: number, ttlMs: number) {
    this.delayMs = delayMs;
    this.ttlMs = ttlMs;
    this.settled = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
  }

  /**
   * The server answered, or never will: stored, or `error`. Its bytes are given back. MUST be called once.
   */
  settle(error: TinyMQError | undefined): void {
    this.encoded!.release();
    if (error === undefined) this.#resolve();
    else this.#reject(error);
  }
}
