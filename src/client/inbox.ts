/** Messages that were delivered and wait to be handed out, still encoded. */
import { TinyMQError } from "../errors.ts";
import type { Delivered, Run } from "../gen/tinymq/v1/queue.ts";
import { BatchReader } from "../wire/decode.ts";
import { Fifo } from "../wire/fifo.ts";

type Delivery = Pick<Delivered, "firstPosition" | "runs" | "messages">;

const NOTHING = new BatchReader(new Uint8Array(0));

export class Inbox {
  /** Messages that wait. */
  length = 0;
  /** Of the message that `next()` stepped to. */
  reader: BatchReader = NOTHING;
  position = -1;
  offset = 0;
  redelivered = false;
  readonly #deliveries = new Fifo<Delivery>();
  #runs: readonly Run[] = [];
  /** Of `#runs`: the next one, and how many messages of the current one are left. */
  #nextRun = 0;
  #left = 0;

  /** Adds a delivery of `count` messages. */
  push(delivery: Delivery, count: number): void {
    this.#deliveries.push(delivery);
    this.length += count;
  }

  /** Steps to the next message; false if none waits. Throws DATA_LOSS where a delivery is malformed. */
  next(): boolean {
    if (this.length === 0) return false;
    while (this.#left === 0) this.#advance();
    if (!this.reader.next()) throw mismatch();
    this.#left -= 1;
    this.length -= 1;
    this.position += 1;
    this.offset += 1;
    return true;
  }

  /** Drops what waits. */
  clear(): void {
    this.#deliveries.drain();
    this.reader = NOTHING;
    this.length = 0;
    this.#runs = [];
    this.#nextRun = 0;
    this.#left = 0;
  }

  /** To the next run, in this delivery or the next. */
  #advance(): void {
    let run = this.#runs[this.#nextRun];
    if (run === undefined) {
      if (!this.reader.done) throw mismatch();
      const delivery = this.#deliveries.shift()!;
      this.reader = new BatchReader(delivery.messages);
      this.position = delivery.firstPosition - 1;
      this.#runs = delivery.runs;
      this.#nextRun = 0;
      run = delivery.runs[0]!;
    }
    this.#nextRun += 1;
    this.#left = run.count;
    this.offset = run.firstOffset - 1;
    this.redelivered = run.redelivered;
  }
}

function mismatch(): TinyMQError {
  return new TinyMQError("DATA_LOSS", "a delivery's runs and its messages do not match");
}
