/**
 * Bodies of the messages of all subjects. Not every queue's messages carry an id, so each body carries its
 * producer and its number (uint32 each, little-endian, after the time), and not every client sends bytes, so
 * each can be made as text: producer, number and time as decimal numbers with ":" after each, then "x"s.
 */
import { Body, TIME_BYTES } from "../../cli/bench/measuring/body.ts";

/** Time, producer and number: no body has fewer bytes. */
export const HEAD_BYTES = TIME_BYTES + 8;
/** Bodies are made in advance and used again after this many bytes of them, or this many. */
const RING_BYTES = 8 * 1024 * 1024;
const RING_SLOTS = 65_536;

/** Of one producer. A client may still read a body after `send()`, so it is used again only after `ring` others. */
export class Bodies {
  readonly producer: number;
  /** Bytes of each. */
  readonly size: number;
  /** Intended send time of the next body, in µs of `nowMicros`; 0: not timed. */
  intended = 0;
  readonly #ring: Body[] = [];
  readonly #memory: DataView;
  readonly #pad: string;

  constructor(producer: number, size: number) {
    if (size < HEAD_BYTES) throw new RangeError(`a body has at least ${HEAD_BYTES} bytes`);
    this.producer = producer;
    this.size = size;
    const memory = new Uint8Array(Bodies.ring(size) * size);
    this.#memory = new DataView(memory.buffer);
    for (let at = 0; at < memory.length; at += size) {
      this.#ring.push(new Body(memory.subarray(at, at + size)));
      this.#memory.setUint32(at + TIME_BYTES, producer, true);
    }
    this.#pad = "x".repeat(size);
  }

  /** How many bodies of a size exist at once, and so how many may be in flight. */
  static ring(size: number): number {
    return Math.max(64, Math.min(RING_SLOTS, Math.floor(RING_BYTES / size)));
  }

  /** Message `seq`; the bytes are used again after `ring` more. */
  bytes(seq: number): Uint8Array {
    const slot = seq % this.#ring.length;
    const body = this.#ring[slot]!;
    body.setTime(this.intended);
    this.#memory.setUint32(slot * this.size + TIME_BYTES + 4, seq, true);
    return body.bytes;
  }

  /** Message `seq` as text, for clients whose bodies are strings. */
  text(seq: number): string {
    const head = `${this.producer}:${seq}:${Math.round(this.intended)}:`;
    return head + this.#pad.slice(0, Math.max(0, this.size - head.length));
  }
}

/** The producer of a body. */
export function producerOf(body: Uint8Array): number {
  return uint32At(body, TIME_BYTES);
}

/** The number of a body among those of its producer. */
export function numberOf(body: Uint8Array): number {
  return uint32At(body, TIME_BYTES + 4);
}

function uint32At(body: Uint8Array, at: number): number {
  return (body[at]! | (body[at + 1]! << 8) | (body[at + 2]! << 16) | (body[at + 3]! << 24)) >>> 0;
}
