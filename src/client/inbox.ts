/** Messages that were delivered and not yet handed to the program, still encoded. */
import { TinyMQError } from "../errors.ts";
import type { Delivered } from "../gen/tinymq/v1/queue.ts";
import { BatchReader } from "../wire/decode.ts";
import { Fifo } from "../wire/fifo.ts";

type Delivery = Pick<Delivered, "firstPosition" | "runs" | "messages">;

const NOTHING: Delivery = { firstPosition: 0, runs: [], messages: new Uint8Array(0) };

export class Inbox {
  /** Messages not yet handed out. */
  length = 0;
  /** Bytes of the deliveries that they are in. */
  bytes = 0;
  /** The current message, which `next()` moved to. */
  reader = new BatchReader(NOTHING.messages);
  position = -1;
  offset = 0;
  redelivered = false;
  /** Its earlier deliveries that count. */
  deliveries = 0;
  readonly #waiting = new Fifo<Delivery>();
  /** The delivery that is being read. */
  #current = NOTHING;
  /** The index of its next run, and how many messages of the run before are left. */
  #nextRun = 0;
  #left = 0;

  /** Adds a delivery of `count` messages. */
  push(delivery: Delivery, count: number): void {
    this.#waiting.push(delivery);
    this.length += count;
    this.bytes += delivery.messages.length;
  }

  /** Moves to the next message; false if there is none. Throws DATA_LOSS if a delivery is malformed. */
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

  /** Drops all messages. */
  clear(): void {
    this.#waiting.drain();
    this.length = 0;
    this.bytes = 0;
    this.reader = new BatchReader(NOTHING.messages);
    this.#current = NOTHING;
    this.#nextRun = 0;
    this.#left = 0;
  }

  /** Moves to the next run, in this delivery or the next. */
  #advance(): void {
    if (this.#nextRun === this.#current.runs.length) {
      if (!this.reader.done) throw mismatch();
      this.bytes -= this.#current.messages.length;
      this.#current = this.#waiting.shift()!;
      this.reader = new BatchReader(this.#current.messages);
      this.position = this.#current.firstPosition - 1;
      this.#nextRun = 0;
    }
    const run = this.#current.runs[this.#nextRun]!;
    this.#nextRun += 1;
    this.#left = run.count;
    this.offset = run.firstOffset - 1;
    this.redelivered = run.redelivered;
    this.deliveries = run.deliveries;
  }
}

function mismatch(): TinyMQError {
  return new TinyMQError("DATA_LOSS", "a delivery's runs and its messages do not match");
}
