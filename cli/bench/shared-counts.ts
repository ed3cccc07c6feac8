/**
 * How many messages of a benchmark are sent, stored and received, and whether it is time to stop: in shared
 * memory, so that its threads know without messages between them. Each count has one writer.
 */

const STOP = 0;
const COUNTS = 1;

export class SharedCounts {
  readonly #cells: Int32Array<SharedArrayBuffer>;
  readonly #producers: number;
  readonly #consumers: number;
  /** What another thread needs to have the same counts. */
  readonly buffer: SharedArrayBuffer;

  /** Of as many `producers` and `consumers`; without `buffer` new ones. */
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

  /** No further message is sent. */
  stop(): void {
    Atomics.store(this.#cells, STOP, 1);
  }

  get stopped(): boolean {
    return Atomics.load(this.#cells, STOP) === 1;
  }

  /** This producer sends one more message; one that is sent again does not count. */
  countSent(producer: number): void {
    Atomics.add(this.#cells, COUNTS + producer, 1);
  }

  countStored(producer: number): void {
    Atomics.add(this.#cells, COUNTS + this.#producers + producer, 1);
  }

  /** This consumer received one more message; one that was received before does not count. */
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
