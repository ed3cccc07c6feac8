/**
 * Reads an encoded `Batch` on the client: one cursor, and no object per message except what the caller asks for.
 *
 * Always holds: nothing outside the given bytes is read; malformed input throws DATA_LOSS; unknown fields are
 * skipped.
 */
import { TinyMQError } from "../errors.ts";
import type { Headers } from "./encode.ts";
import { textCoder } from "./text.ts";

const NO_BYTES = new Uint8Array(0);
/**
 * Whether small bodies share a buffer. In Node, a buffer per body costs a microsecond, ten times the rest of the
 * message. In Bun, a view of a shared buffer costs more (measured: 128 bytes in a loop, +15 %).
 */
const SHARE_BUFFERS = !("Bun" in globalThis);
/** A body shorter than OWN_BYTES is copied together with the bytes that follow, SHARED_BYTES in all. */
const OWN_BYTES = 4_096;
const SHARED_BYTES = 8_192;
/** A body of at least this length that is half of its frame or more is not copied: the copy would dominate. */
const LARGE_BYTES = 32_768;

/** A cursor over a batch: call `next()`, then read the current message. */
export class BatchReader {
  /** Id of the current message. */
  id = 0;
  readonly #bytes: Uint8Array;
  readonly #shareBuffers: boolean;
  #at = 0;
  /** In the current message: the end of its fields, its body, and its first header (-1: none). */
  #end = 0;
  #bodyStart = 0;
  #bodyEnd = 0;
  #headersAt = -1;
  /** A copy of the batch's bytes from `#copiedFrom` on, which small bodies are views of. */
  #copied: Uint8Array = NO_BYTES;
  #copiedFrom = 0;

  /** `bytes` MUST NOT be a subclass such as Node's Buffer, whose `slice` does not copy. */
  constructor(bytes: Uint8Array, shareBuffers = SHARE_BUFFERS) {
    this.#bytes = bytes;
    this.#shareBuffers = shareBuffers;
  }

  /** Whether no further message follows. */
  get done(): boolean {
    return this.#at >= this.#bytes.length;
  }

  /** Moves to the next message; false after the last. Throws DATA_LOSS if it is malformed. */
  next(): boolean {
    const bytes = this.#bytes;
    if (this.#at >= bytes.length) return false;
    if (bytes[this.#at] !== 0x0a) throw malformed("an entry does not begin with tag 10");
    this.#at += 1;
    const length = this.#varint(bytes.length);
    const end = this.#at + length;
    if (end > bytes.length) throw malformed("an entry runs past the end of its batch");
    this.#end = end;
    this.id = 0;
    this.#bodyStart = 0;
    this.#bodyEnd = 0;
    this.#headersAt = -1;
    while (this.#at < end) this.#field(end);
    return true;
  }

  /** The body of the current message, as a view of the batch's bytes. */
  bytes(): Uint8Array {
    if (this.#bodyStart === this.#bodyEnd) return NO_BYTES;
    return this.#bytes.subarray(this.#bodyStart, this.#bodyEnd);
  }

  /**
   * The body of the current message, to keep. Its buffer is at most 8 KiB or twice the body's length, so that a
   * small body does not keep the whole batch in memory.
   */
  copy(): Uint8Array {
    const start = this.#bodyStart;
    const length = this.#bodyEnd - start;
    if (length === 0) return NO_BYTES;
    // A view will do: the body is most of its frame, and no other body shares these bytes.
    if (length >= LARGE_BYTES && 2 * length >= this.#bytes.buffer.byteLength) return this.bytes();
    if (!this.#shareBuffers || length >= OWN_BYTES) return this.#bytes.slice(start, this.#bodyEnd);
    let at = start - this.#copiedFrom;
    if (at + length > this.#copied.length) {
      this.#copied = this.#bytes.slice(start, start + SHARED_BYTES);
      this.#copiedFrom = start;
      at = 0;
    }
    return new Uint8Array(this.#copied.buffer, at, length);
  }

  /** The body of the current message as text; invalid UTF-8 becomes U+FFFD. */
  text(): string {
    return textCoder.read(this.#bytes, this.#bodyStart, this.#bodyEnd);
  }

  /** The headers of the current message as an object without a prototype; undefined if it has none. */
  headers(): Headers | undefined {
    if (this.#headersAt < 0) return undefined;
    const headers: Record<string, string> = Object.create(null);
    const resume = this.#at;
    this.#at = this.#headersAt;
    while (this.#at < this.#end) {
      const tag = this.#varint(this.#end);
      if (tag === 0x1a) this.#header(headers);
      else this.#skip(tag, this.#end);
    }
    this.#at = resume;
    return headers;
  }

  #field(end: number): void {
    const start = this.#at;
    const tag = this.#varint(end);
    if (tag === 0x12) {
      const length = this.#varint(end);
      this.#bodyStart = this.#at;
      this.#bodyEnd = this.#step(length, end);
    } else if (tag === 0x08) {
      this.id = this.#varint(end);
      if (this.id > Number.MAX_SAFE_INTEGER) throw malformed("an id is above 2^53-1");
    } else {
      if (tag === 0x1a && this.#headersAt < 0) this.#headersAt = start;
      this.#skip(tag, end);
    }
  }

  #header(headers: Record<string, string>): void {
    const length = this.#varint(this.#end);
    const start = this.#at;
    const end = this.#step(length, this.#end);
    this.#at = start;
    let key = "";
    let value = "";
    while (this.#at < end) {
      const tag = this.#varint(end);
      if (tag !== 0x0a && tag !== 0x12) {
        this.#skip(tag, end);
        continue;
      }
      const textLength = this.#varint(end);
      const textStart = this.#at;
      const text = textCoder.read(this.#bytes, textStart, this.#step(textLength, end));
      if (tag === 0x0a) key = text;
      else value = text;
    }
    headers[key] = value;
  }

  #skip(tag: number, end: number): void {
    if (tag < 8) throw malformed("a field has number 0");
    const wireType = tag % 8;
    if (wireType === 0) this.#varint(end);
    else if (wireType === 1) this.#step(8, end);
    else if (wireType === 2) this.#step(this.#varint(end), end);
    else if (wireType === 5) this.#step(4, end);
    else throw malformed(`a field has wire type ${wireType}`);
  }

  /** Skips `length` bytes and returns the new position. */
  #step(length: number, end: number): number {
    const next = this.#at + length;
    if (next > end) throw malformed("a field runs past the end of its message");
    this.#at = next;
    return next;
  }

  /** Not `readVarint`: keeping the position in a field is a third faster (measured), and errors are DATA_LOSS. */
  #varint(end: number): number {
    const bytes = this.#bytes;
    let at = this.#at;
    // There may be bytes after the end, but they belong to something else.
    if (at >= end) throw malformed("a number is cut off");
    let byte = bytes[at++]!;
    if (byte < 0x80) {
      this.#at = at;
      return byte;
    }
    let value = byte & 0x7f;
    let factor = 0x80;
    const last = Math.min(end, this.#at + 10);
    while (at < last) {
      byte = bytes[at++]!;
      value += (byte & 0x7f) * factor;
      if (byte < 0x80) {
        this.#at = at;
        return value;
      }
      factor *= 0x80;
    }
    throw malformed("a number is cut off or longer than ten bytes");
  }
}

function malformed(what: string): TinyMQError {
  return new TinyMQError("DATA_LOSS", `malformed batch: ${what}`);
}
