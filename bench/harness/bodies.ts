/**
 * Bodies of a producer's messages. Not every queue's messages carry an id, so each body carries its producer
 * and its number, and not every client sends bytes, so each can be made as text: producer, number and time as
 * decimal numbers with ":" after each, then "x"s.
 */
import { Body, NUMBERED_BYTES } from "../../cli/bench/measuring/body.ts";

/** Bodies are made in advance and used again after this many bytes of them, or this many. */
const RING_BYTES = 8 * 1024 * 1024;
const RING_SLOTS = 65_536;

/** A client may still read a body after `send()`, so a body is used again only after `ring` others. */
export class Bodies {
  readonly producer: number;
  /** Bytes of each. */
  readonly size: number;
  /** Intended send time of the next body, in µs of `nowMicros`; 0: not timed. */
  intended = 0;
  readonly #ring: Body[] = [];
  readonly #pad: string;

  constructor(producer: number, size: number) {
    if (size < NUMBERED_BYTES) throw new RangeError(`a body has at least ${NUMBERED_BYTES} bytes`);
    this.producer = producer;
    this.size = size;
    const memory = new Uint8Array(Bodies.ring(size) * size);
    for (let at = 0; at < memory.length; at += size) {
      this.#ring.push(new Body(memory.subarray(at, at + size)));
    }
    this.#pad = "x".repeat(size);
  }

  /** How many bodies of a size exist at once, and so how many may be in flight. */
  static ring(size: number): number {
    return Math.max(64, Math.min(RING_SLOTS, Math.floor(RING_BYTES / size)));
  }

  /** Message `seq`; the bytes are used again after `ring` more. */
  bytes(seq: number): Uint8Array {
    const body = this.#ring[seq % this.#ring.length]!;
    body.setTime(this.intended);
    body.setNumber(this.producer, seq);
    return body.bytes;
  }

  /** Message `seq` as text, for clients whose bodies are strings. */
  text(seq: number): string {
    const head = `${this.producer}:${seq}:${Math.round(this.intended)}:`;
    return head + this.#pad.slice(0, Math.max(0, this.size - head.length));
  }
}
