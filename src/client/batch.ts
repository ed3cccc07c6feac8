/** One batch of a producer: its options, its messages once it is sealed, and what becomes of them. */
import type { TinyMQError } from "../errors.ts";
import type { MessageRange } from "../gen/tinymq/v1/queue.ts";
import type { EncodedBatch } from "../wire/encoded-batch.ts";

const ALL: readonly MessageRange[] = [{ first: 0, count: Number.POSITIVE_INFINITY }];

/** The messages of one `sendBatch`. */
export interface Group {
  /** What befell the first of them that was not stored. */
  failure: TinyMQError | undefined;
}

/**
 * Always holds: of a batch without a group, `sent()` is called once for each message, in their order. The
 * reactions of one promise run in the order in which they were registered, so each finds its own message by
 * counting, and no message needs an object of its own.
 */
export class Batch {
  /** Milliseconds; they hold for all of its messages. */
  readonly delayMs: number;
  readonly ttlMs: number;
  /** Whose messages it holds, all of them; undefined: sends, each with a fate of its own. */
  readonly group: Group | undefined;
  /** Undefined while messages are added. */
  encoded: EncodedBatch | undefined;
  /** 0 until it is first sent. */
  seq = 0;
  /** Resolves when it is known what became of every message, well or not. */
  readonly settled: Promise<void>;
  #resolve!: () => void;
  #error: TinyMQError | undefined;
  /** The messages that `#error` befell, ascending; and how many of these ranges are behind `#next`. */
  #refused: readonly MessageRange[] = ALL;
  #passed = 0;
  /** The message whose fate is asked for next. */
  #next = 0;

  constructor(delayMs: number, ttlMs: number, group: Group | undefined) {
    this.delayMs = delayMs;
    this.ttlMs = ttlMs;
    this.group = group;
    this.settled = new Promise((resolve) => {
      this.#resolve = resolve;
    });
  }

  /** The fate of the message that was added last: a promise of its own. */
  sent(): Promise<void> {
    return this.settled.then(this.#fate);
  }

  /**
   * The server answered, or never will: all is stored, or `error` befell the messages of `refused`; if that is
   * empty, all of them. Its bytes are given back. MUST be called once.
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
