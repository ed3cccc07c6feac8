/**
 * The client's hot path: messages to the bytes of `Batch`, in slabs that are used again.
 *
 * Always holds: the bytes equal those of the generated code (proven by property tests); a slab is written
 * again only after every batch in it was released.
 */
import { MessageTooLarge, TinyMQError } from "../errors.ts";
import { EncodedBatch, HEADROOM, newSlab, type Slab } from "./encoded-batch.ts";
import { KiB, MAX_ID, MiB } from "./limits.ts";
import { textCoder } from "./text.ts";
import { varintLength, writeVarint } from "./varint.ts";

/** Text to text. Any own enumerable key is sent, `__proto__` included. */
export type Headers = Readonly<Record<string, string>>;

const FIRST_SLAB_BYTES = 16 * KiB;
const SLAB_BYTES = 256 * KiB;
/** What a fast producer has in flight. */
const MAX_FREE_BYTES = 8 * MiB;
/** Slabs of larger messages are multiples of this, so that they fit the next one of about that size. */
const LARGE_STEP = 64 * KiB;
/** Up to this length a loop beats `set`. */
const SHORT_BYTES = 24;

/** Writes messages one behind the other; `seal()` cuts off what was written as one batch. */
export class BatchWriter {
  /** Largest message, in bytes of body and headers as encoded; `add` refuses what is larger. */
  maxMessageBytes: number;
  #slab: Slab = newSlab(FIRST_SLAB_BYTES);
  /** Slabs that nobody uses, none smaller than SLAB_BYTES; the one that was used last is the last. */
  readonly #free: Slab[] = [];
  #freeBytes = 0;
  /** Where the open batch begins, and where its next entry goes. */
  #start = HEADROOM;
  #end = HEADROOM;
  #count = 0;

  constructor(maxMessageBytes: number = Number.POSITIVE_INFINITY) {
    this.maxMessageBytes = maxMessageBytes;
  }

  /** Messages in the open batch. */
  get count(): number {
    return this.#count;
  }

  /** Bytes of the open batch. */
  get size(): number {
    return this.#end - this.#start;
  }

  /**
   * Adds one message to the open batch and returns the bytes that it takes there. Throws INVALID_ARGUMENT
   * for an id that is no integer from 0 to 2^53-1, a body or header of a wrong type, and `MessageTooLarge`;
   * the open batch is then as it was.
   */
  add(id: number, body: string | Uint8Array, headers?: Headers): number {
    if (!Number.isSafeInteger(id) || id < 0) throw wrongId(id);
    const idLength = id === 0 ? 0 : 1 + varintLength(id);
    const headersLength = headers === undefined ? 0 : encodedHeadersLength(headers);
    // Not the end: the batch may move to another slab.
    const before = this.size;
    if (typeof body === "string") this.#addText(id, body, idLength, headersLength, headers);
    else if (body instanceof Uint8Array) this.#addBytes(id, body, idLength, headersLength, headers);
    else throw new TinyMQError("INVALID_ARGUMENT", `a body is text or bytes, not ${typeof body}`);
    this.#count += 1;
    return this.size - before;
  }

  /** Ends the open batch and begins the next. The batch keeps its bytes until it is released. */
  seal(): EncodedBatch {
    const batch = new EncodedBatch(this, this.#slab, this.#start, this.#end, this.#count);
    this.#slab.users += 1;
    this.#start = this.#end + HEADROOM;
    this.#end = this.#start;
    this.#count = 0;
    return batch;
  }

  /** Called by a batch, once: its bytes are not needed any more. */
  reclaim(slab: Slab): void {
    slab.users -= 1;
    if (slab.users > 0) return;
    if (slab !== this.#slab) {
      this.#keep(slab);
    } else if (this.#count === 0) {
      this.#start = HEADROOM;
      this.#end = HEADROOM;
    }
  }

  #addText(id: number, body: string, idLength: number, headersLength: number, headers?: Headers): void {
    // Characters are at most bytes: what is far too large is not measured first.
    if (body.length > this.maxMessageBytes) throw tooLarge(body.length, this.maxMessageBytes);
    const bodyLength = textCoder.byteLength(body);
    const at = this.#place(id, bodyLength, idLength, headersLength);
    textCoder.write(this.#slab.bytes, at, body, bodyLength);
    this.#end = this.#writeHeaders(at + bodyLength, headers);
  }

  #addBytes(id: number, body: Uint8Array, idLength: number, headersLength: number, headers?: Headers): void {
    const length = body.length;
    const at = this.#place(id, length, idLength, headersLength);
    const bytes = this.#slab.bytes;
    if (length <= SHORT_BYTES) for (let index = 0; index < length; index++) bytes[at + index] = body[index]!;
    else bytes.set(body, at);
    this.#end = this.#writeHeaders(at + length, headers);
  }

  /** Makes room, and writes entry tag and length, id, body tag and length; returns where the body goes. */
  #place(id: number, bodyLength: number, idLength: number, headersLength: number): number {
    const ofBody = bodyLength === 0 ? 0 : 1 + varintLength(bodyLength) + bodyLength;
    const messageLength = idLength + ofBody + headersLength;
    if (messageLength > this.maxMessageBytes) throw tooLarge(messageLength, this.maxMessageBytes);
    // Tag and length of the entry are up to six bytes more.
    this.#reserve(messageLength + 6);
    const bytes = this.#slab.bytes;
    let at = this.#end;
    bytes[at++] = 0x0a;
    at = writeVarint(bytes, at, messageLength);
    if (id !== 0) {
      bytes[at++] = 0x08;
      at = writeVarint(bytes, at, id);
    }
    if (bodyLength !== 0) {
      bytes[at++] = 0x12;
      at = writeVarint(bytes, at, bodyLength);
    }
    return at;
  }

  #writeHeaders(start: number, headers: Headers | undefined): number {
    let at = start;
    if (headers === undefined) return at;
    const bytes = this.#slab.bytes;
    for (const key of Object.keys(headers)) {
      const value = headers[key]!;
      const keyLength = textCoder.byteLength(key);
      const valueLength = textCoder.byteLength(value);
      bytes[at++] = 0x1a;
      at = writeVarint(bytes, at, encodedHeaderLength(keyLength, valueLength));
      bytes[at++] = 0x0a;
      at = writeVarint(bytes, at, keyLength);
      textCoder.write(bytes, at, key, keyLength);
      at += keyLength;
      bytes[at++] = 0x12;
      at = writeVarint(bytes, at, valueLength);
      textCoder.write(bytes, at, value, valueLength);
      at += valueLength;
    }
    return at;
  }

  /** Makes room for `needed` more bytes; the open batch moves to a new slab if the old one has none. */
  #reserve(needed: number): void {
    if (this.#end + needed <= this.#slab.bytes.length) return;
    const size = this.#end - this.#start;
    const wanted = HEADROOM + size + needed;
    const next = this.#take(Math.max(Math.min(SLAB_BYTES, this.#slab.bytes.length * 2), wanted));
    next.bytes.set(this.#slab.bytes.subarray(this.#start, this.#end), HEADROOM);
    const old = this.#slab;
    this.#slab = next;
    this.#start = HEADROOM;
    this.#end = HEADROOM + size;
    if (old.users === 0) this.#keep(old);
  }

  /** A slab of at least `wanted` bytes: fresh memory costs as much as writing it. */
  #take(wanted: number): Slab {
    if (wanted < SLAB_BYTES) return newSlab(wanted);
    const bytes = SLAB_BYTES + LARGE_STEP * Math.ceil((wanted - SLAB_BYTES) / LARGE_STEP);
    const found = this.#free.findLastIndex((slab) => slab.bytes.length === bytes);
    if (found < 0) return newSlab(bytes);
    this.#freeBytes -= bytes;
    return this.#free.splice(found, 1)[0]!;
  }

  #keep(slab: Slab): void {
    if (slab.bytes.length < SLAB_BYTES) return;
    this.#free.push(slab);
    this.#freeBytes += slab.bytes.length;
    while (this.#freeBytes > MAX_FREE_BYTES) this.#freeBytes -= this.#free.shift()!.bytes.length;
  }
}

function encodedHeadersLength(headers: Headers): number {
  let length = 0;
  for (const key of Object.keys(headers)) {
    const value: unknown = headers[key];
    if (typeof value !== "string") {
      throw new TinyMQError("INVALID_ARGUMENT", `header ${JSON.stringify(key)} is text, not ${typeof value}`);
    }
    const entry = encodedHeaderLength(textCoder.byteLength(key), textCoder.byteLength(value));
    length += 1 + varintLength(entry) + entry;
  }
  return length;
}

function encodedHeaderLength(keyLength: number, valueLength: number): number {
  return 2 + varintLength(keyLength) + keyLength + varintLength(valueLength) + valueLength;
}

function wrongId(id: unknown): TinyMQError {
  return new TinyMQError("INVALID_ARGUMENT", `an id is an integer from 0 to ${MAX_ID}, not ${String(id)}`);
}

function tooLarge(length: number, limit: number): MessageTooLarge {
  return new MessageTooLarge(
    `the message has ${length} bytes of body and headers, the server takes ${limit}`,
  );
}
