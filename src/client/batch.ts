/** One batch of a producer: its options, its encoded messages once it is sealed, and their outcome. */
import type { TinyMQError } from "../errors.ts";
import type { MessageRange } from "../gen/tinymq/v1/queue.ts";
import type { EncodedBatch } from "../wire/encoded-batch.ts";

const ALL: readonly MessageRange[] = [{ first: 0, count: Number.POSITIVE_INFINITY }];

/** The messages of one `sendBatch`. */
export interface Group {
  /** The error of the first of them that was not stored. */
  failure: TinyMQError | undefined;
}

/**
 * Always holds: `sent()` of a batch without a group is called once for each message, in order. A promise runs its
 * reactions in the order of registration, so each finds its message by counting, and no message needs an object.
 */
export class Batch {
  /** In ms, for all messages of the batch. */
  readonly delayMs: number;
  readonly ttlMs: number;
  /** The group that all its messages belong to; undefined: they were sent one by one. */
  readonly group: Group | undefined;
  /** Undefined while the batch is open. */
  encoded: EncodedBatch | undefined;
  /** 0 until it is first sent. */
  seq = 0;
  /** Resolves when the outcome of every message is known. */
  readonly settled: Promise<void>;
  #resolve!: () => void;
  #error: TinyMQError | undefined;
  /** The messages that `#error` applies to, ascending; and how many of these ranges end before `#next`. */
  #refused: readonly MessageRange[] = ALL;
  #passed = 0;
  /** Index of the message whose outcome is asked for next. */
  #next = 0;

  constructor(delayMs: number, ttlMs: number, group: Group | undefined) {
    this.delayMs = delayMs;
    this.ttlMs = ttlMs;
    this.group = group;
    this.settled = new Promise((resolve) => {
      this.#resolve = resolve;
    });
  }

  /** The outcome of the message that was added last. */
  sent(): Promise<void> {
    return this.settled.then(this.#fate);
  }

  /**
   * Settles the batch and gives its bytes back: all messages are stored, or `error` applies to those in `refused`,
   * to all if that is empty. MUST be called once.
   */
  settle(error: TinyMQError | undefined, refused: readonly MessageRange[]): void {
    this.encoded!.release();
    this.#error = error;
    if (this.group !== undefined) this.group.failure ??= error;
    if (refused.length > 0) this.#refused = refused;
    this.#resolve();
  }

  readonly #fate = (): void => {
    const message = this.#next++;
    if (this.#error === undefined) return;
    let range = this.#refused[this.#passed];
    while (range !== undefined && range.first + range.count <= message) {
      this.#passed += 1;
      range = this.#refused[this.#passed];
    }
    if (range !== undefined && range.first <= message) throw this.#error;
  };
}
