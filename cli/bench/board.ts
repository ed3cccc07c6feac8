/**
 * What the threads of a bench tell each other without messages: how many messages are sent, stored and
 * received, and whether it is time to stop. Each count has one writer. Lives in shared memory.
 */

const STOP = 0;
const COUNTS = 1;

export class Board {
  readonly #cells: Int32Array<SharedArrayBuffer>;
  readonly #producers: number;
  readonly #consumers: number;
  /** What another thread needs to have the same board. */
  readonly buffer: SharedArrayBuffer;

  /** Of as many `producers` and `consumers`; without `buffer` a new one. */
  constructor(
    producers: number,
    consumers: number,
    buffer = new SharedArrayBuffer((COUNTS + 2 * producers + consumers) * Int32Array.BYTES_PER_ELEMENT),
  ) {
    this.buffer = buffer;
    this.#cells = new Int32Array(buffer);
    this.#producers = producers;
    this.#consumers = consumers;
  }

  /** Nothing more is sent. */
  stop(): void {
    Atomics.store(this.#cells, STOP, 1);
  }

  get stopped(): boolean {
    return Atomics.load(this.#cells, STOP) === 1;
  }

  /** One more of this producer is on its way, for the first time. */
  countSent(producer: number): void {
    Atomics.add(this.#cells, COUNTS + producer, 1);
  }

  countStored(producer: number): void {
    Atomics.add(this.#cells, COUNTS + this.#producers + producer, 1);
  }

  /** One more of the messages that nobody had received before. */
  countReceived(consumer: number): void {
    Atomics.add(this.#cells, COUNTS + 2 * this.#producers + consumer, 1);
  }

  get sent(): number {
    return this.#sum(COUNTS, this.#producers);
  }

  get stored(): number {
    return this.#sum(COUNTS + this.#producers, this.#producers);
  }

  get received(): number {
    return this.#sum(COUNTS + 2 * this.#producers, this.#consumers);
  }

  #sum(from: number, count: number): number {
    let sum = 0;
    for (let cell = from; cell < from + count; cell += 1) sum += Atomics.load(this.#cells, cell);
    return sum;
  }
}

/** Which messages of a phase have come: one bit each, in shared memory. */
export class Seen {
  readonly #words: Int32Array<SharedArrayBuffer>;
  /** What another thread needs to have the same. */
  readonly buffer: SharedArrayBuffer;

  /** Of `count` messages; without `buffer` a new one. */
  constructor(
    count: number,
    buffer = new SharedArrayBuffer(Math.ceil(count / 32) * Int32Array.BYTES_PER_ELEMENT),
  ) {
    this.buffer = buffer;
    this.#words = new Int32Array(buffer);
  }

  /** Message `index` has come; false if it had before, to any thread. */
  add(index: number): boolean {
    const bit = 1 << (index & 31);
    return (Atomics.or(this.#words, index >>> 5, bit) & bit) === 0;
  }
}
