/**
 * Encoded batches, and the buffers they are written into. The frame that carries a batch to the server
 * (`ProduceRequest { batch: ProduceBatch }`) is built around it in place.
 *
 * Always holds: a buffer is reused only after every batch in it was released.
 */
import { TinyMQError } from "../errors.ts";
import { KiB, MiB } from "./limits.ts";
import { varintLength, writeVarint } from "./varint.ts";

/** Room before the messages for the frame's tags, seq, options and lengths (at most 50 bytes). */
export const HEADROOM = 64;

export const SEND_BUFFER_BYTES = 256 * KiB;
/** Free bytes to keep: about what a fast producer has in flight. */
const MAX_FREE_BYTES = 8 * MiB;
/** Buffers for larger messages grow in steps of this, so that they fit the next message of about that size. */
const LARGE_STEP = 64 * KiB;

/** A buffer that batches are written into, one after another. */
export interface SendBuffer {
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** Batches in it that were not released, plus one while it is being written to. */
  users: number;
}

/** Reuses free buffers, since allocating fresh memory costs as much as writing it. */
export class SendBuffers {
  /** Each has at least SEND_BUFFER_BYTES; the most recently used is last. */
  readonly #free: SendBuffer[] = [];
  #freeBytes = 0;

  /** A buffer of at least `wanted` bytes; the caller is its only user. */
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

  /** Drops one user of the buffer. */
  release(buffer: SendBuffer): void {
    buffer.users -= 1;
    if (buffer.users > 0 || buffer.bytes.length < SEND_BUFFER_BYTES) return;
    this.#free.push(buffer);
    this.#freeBytes += buffer.bytes.length;
    while (this.#freeBytes > MAX_FREE_BYTES) this.#freeBytes -= this.#free.shift()!.bytes.length;
  }
}

/** A batch at `[start, end)` of a buffer, with HEADROOM before it; valid until it is released. */
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

  /** The encoded `Batch`, a view that is valid until `release()`. */
  get messages(): Uint8Array<ArrayBuffer> {
    return this.#bytes().subarray(this.#start, this.#end);
  }

  /**
   * The whole frame, a view that is valid until `release()`; its header is written in place before the messages.
   * May be called again, also with another seq. The options are in ms, 0 for none.
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

  /** Gives the bytes back, which invalidates all views. Can be called twice. */
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

/** Bytes of a varint field with its one-byte tag; 0 for a zero value, which is left out. */
function fieldLength(value: number): number {
  return value === 0 ? 0 : 1 + varintLength(value);
}

function writeField(bytes: Uint8Array, at: number, tag: number, value: number): number {
  if (value === 0) return at;
  bytes[at] = tag;
  return writeVarint(bytes, at + 1, value);
}
