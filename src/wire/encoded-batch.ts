/**
 * Batches that are encoded, and the buffers that they are written into. The frame that carries one to the
 * server (`ProduceRequest { batch: ProduceBatch }`) is written around it, in place.
 *
 * Always holds: a buffer is written again only after every batch in it was released.
 */
import { TinyMQError } from "../errors.ts";
import { KiB, MiB } from "./limits.ts";
import { varintLength, writeVarint } from "./varint.ts";

/** Room before the messages for tags, seq, three options and two lengths (at most 50 bytes). */
export const HEADROOM = 64;

export const SEND_BUFFER_BYTES = 256 * KiB;
/** What a fast producer has in flight. */
const MAX_FREE_BYTES = 8 * MiB;
/**
 * Larger buffers, for larger messages, are multiples of this, so that they fit the next one of about that
 * size.
 */
const LARGE_STEP = 64 * KiB;

/** Bytes that batches are written into, one behind the other. */
export interface SendBuffer {
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** Batches in it that were not released, and one more as long as it is written to. */
  users: number;
}

/** Keeps buffers without users for the next ones: fresh memory costs as much as writing it. */
export class SendBuffers {
  /** None is smaller than SEND_BUFFER_BYTES; the one that was used last is the last. */
  readonly #free: SendBuffer[] = [];
  #freeBytes = 0;

  /** A buffer of at least `wanted` bytes; whoever asks is its one user. */
  take(wanted: number): SendBuffer {
    if (wanted < SEND_BUFFER_BYTES) return { bytes: new Uint8Array(wanted), users: 1 };
    const length = SEND_BUFFER_BYTES + LARGE_STEP * Math.ceil((wanted - SEND_BUFFER_BYTES) / LARGE_STEP);
    const found = this.#free.findLastIndex((buffer) => buffer.bytes.length === length);
    if (found < 0) return { bytes: new Uint8Array(length), users: 1 };
    const [buffer] = this.#free.splice(found, 1);
    this.#freeBytes -= length;
    buffer!.users = 1;
    return buffer!;
  }

  /** The buffer has one user less. */
  release(buffer: SendBuffer): void {
    buffer.users -= 1;
    if (buffer.users > 0 || buffer.bytes.length < SEND_BUFFER_BYTES) return;
    this.#free.push(buffer);
    this.#freeBytes += buffer.bytes.length;
    while (this.#freeBytes > MAX_FREE_BYTES) this.#freeBytes -= this.#free.shift()!.bytes.length;
  }
}

/** A batch at `[start, end)` of a buffer, with HEADROOM before it, until it is released. */
export class EncodedBatch {
  readonly #buffers: SendBuffers;
  readonly #start: number;
  readonly #end: number;
  #buffer: SendBuffer | undefined;

  constructor(buffers: SendBuffers, buffer: SendBuffer, start: number, end: number) {
    this.#buffers = buffers;
    this.#buffer = buffer;
    this.#start = start;
    this.#end = end;
    buffer.users += 1;
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

  /** Gives the bytes back: the views are not good any more. Twice does nothing. */
  release(): void {
    if (this.#buffer === undefined) return;
    this.#buffers.release(this.#buffer);
    this.#buffer = undefined;
  }

  #bytes(): Uint8Array<ArrayBuffer> {
    if (this.#buffer === undefined) throw new TinyMQError("INTERNAL", "a released batch was used");
    return this.#buffer.bytes;
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
