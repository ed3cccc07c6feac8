/**
 * A batch that is encoded, and the frame that carries it to the server
 * (`ProduceRequest { batch: ProduceBatch }`), written before it in place.
 */
import { TinyMQError } from "../errors.ts";
import { varintLength, writeVarint } from "./varint.ts";

/** Room before the messages for tags, seq, three options and two lengths (at most 50 bytes). */
export const HEADROOM = 64;

/** Bytes that batches are written into, and how many sealed batches still live in them. */
export interface Slab {
  readonly bytes: Uint8Array<ArrayBuffer>;
  users: number;
}

/** A slab of `bytes` bytes that nobody uses. */
export function newSlab(bytes: number): Slab {
  return { bytes: new Uint8Array(bytes), users: 0 };
}

/** Whoever wrote a batch and takes its bytes back. */
export interface SlabOwner {
  /** Called once for each sealed batch: its bytes are not needed any more. */
  reclaim(slab: Slab): void;
}

/** A sealed batch: its bytes in a slab, with headroom for the frame's header before them. */
export class EncodedBatch {
  /** Messages in it. */
  readonly count: number;
  readonly #owner: SlabOwner;
  readonly #start: number;
  readonly #end: number;
  #slab: Slab | undefined;

  constructor(owner: SlabOwner, slab: Slab, start: number, end: number, count: number) {
    this.#owner = owner;
    this.#slab = slab;
    this.#start = start;
    this.#end = end;
    this.count = count;
  }

  /** Bytes of the messages. */
  get size(): number {
    return this.#end - this.#start;
  }

  /** The encoded `Batch`: a view that is good until `release()`. */
  get messages(): Uint8Array<ArrayBuffer> {
    return this.#bytes().subarray(this.#start, this.#end);
  }

  /**
   * The whole frame, a view that is good until `release()`: the header is written before the messages, in
   * place. May be called again, with another seq too. The options are ms, 0 for none.
   */
  frame(seq: number, delayMs: number, ttlMs: number, uniqueMs: number): Uint8Array<ArrayBuffer> {
    const bytes = this.#bytes();
    const size = this.#end - this.#start;
    const header =
      fieldLength(seq) +
      fieldLength(delayMs) +
      fieldLength(ttlMs) +
      fieldLength(uniqueMs) +
      fieldLength(size);
    const first = this.#start - header - 1 - varintLength(header + size);
    let at = first;
    bytes[at++] = 0x12;
    at = writeVarint(bytes, at, header + size);
    at = writeField(bytes, at, 0x08, seq);
    at = writeField(bytes, at, 0x10, delayMs);
    at = writeField(bytes, at, 0x18, ttlMs);
    at = writeField(bytes, at, 0x20, uniqueMs);
    writeField(bytes, at, 0x2a, size);
    return bytes.subarray(first, this.#end);
  }

  /** Gives the bytes back to their owner; the views are not good any more. Twice does nothing. */
  release(): void {
    const slab = this.#slab;
    if (slab === undefined) return;
    this.#slab = undefined;
    this.#owner.reclaim(slab);
  }

  #bytes(): Uint8Array<ArrayBuffer> {
    if (this.#slab === undefined) throw new TinyMQError("INTERNAL", "a released batch was used");
    return this.#slab.bytes;
  }
}

/** A varint field that is left out when it is zero, its one-byte tag included. */
function fieldLength(value: number): number {
  return value === 0 ? 0 : 1 + varintLength(value);
}

function writeField(bytes: Uint8Array, at: number, tag: number, value: number): number {
  if (value === 0) return at;
  bytes[at] = tag;
  return writeVarint(bytes, at + 1, value);
}
