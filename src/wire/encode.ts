/**
 * Encodes messages into a `Batch`: the client's hot path.
 *
 * Always holds: the bytes equal those of the generated code (property tests).
 */
import { MessageTooLarge, TinyMQError } from "../errors.ts";
import { EncodedBatch, HEADROOM, SEND_BUFFER_BYTES, SendBuffers } from "./encoded-batch.ts";
import { KiB, MAX_ID } from "./limits.ts";
import { textCoder } from "./text.ts";
import { varintLength, writeVarint } from "./varint.ts";

/** Header names and values. Every own enumerable key is sent, `__proto__` included. */
export type Headers = Readonly<Record<string, string>>;

const FIRST_BUFFER_BYTES = 16 * KiB;
/** Up to this length a loop is faster than `set`. */
const SHORT_BYTES = 24;

/** Appends messages to the open batch; `seal()` ends that batch and begins the next. */
export class BatchWriter {
  /** Maximum bytes of one encoded message, without its entry's tag and length; `add` refuses larger ones. */
  maxMessageBytes: number;
  readonly #buffers = new SendBuffers();
  #buffer = this.#buffers.take(FIRST_BUFFER_BYTES);
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
   * Adds one message to the open batch and returns how many bytes it takes there. Throws INVALID_ARGUMENT for an
   * id that is not an integer from 0 to 2^53-1 and for a body or header of the wrong type, or `MessageTooLarge`;
   * the batch is then unchanged.
   */
  add(id: number, body: string | Uint8Array, headers?: Headers): number {
    if (!Number.isSafeInteger(id) || id < 0) throw wrongId(id);
    const idLength = id === 0 ? 0 : 1 + varintLength(id);
    const headersLength = headers === undefined ? 0 : encodedHeadersLength(headers);
    // Not `#end`, since the batch may move to another buffer.
    const before = this.size;
    if (typeof body === "string") this.#addText(id, body, idLength, headersLength, headers);
    else if (body instanceof Uint8Array) this.#addBytes(id, body, idLength, headersLength, headers);
    else
      throw new TinyMQError(
        "INVALID_ARGUMENT",
        `the body must be a string or a Uint8Array, not ${typeof body}`,
      );
    this.#count += 1;
    return this.size - before;
  }

  /** Ends the open batch and begins the next. The sealed batch keeps its bytes until it is released. */
  seal(): EncodedBatch {
    const batch = new EncodedBatch(this.#buffers, this.#buffer, this.#start, this.#end);
    this.#start = this.#end + HEADROOM;
    this.#end = this.#start;
    this.#count = 0;
    return batch;
  }

  #addText(id: number, body: string, idLength: number, headersLength: number, headers?: Headers): void {
    // UTF-8 has at least a byte per character: text that is far too long need not be measured.
    if (body.length > this.maxMessageBytes) throw tooLarge(body.length, this.maxMessageBytes);
    const bodyLength = textCoder.byteLength(body);
    const at = this.#place(id, bodyLength, idLength, headersLength);
    textCoder.write(this.#buffer.bytes, at, body, bodyLength);
    this.#end = this.#writeHeaders(at + bodyLength, headers);
  }

  #addBytes(id: number, body: Uint8Array, idLength: number, headersLength: number, headers?: Headers): void {
    const length = body.length;
    const at = this.#place(id, length, idLength, headersLength);
    const bytes = this.#buffer.bytes;
    if (length <= SHORT_BYTES) for (let index = 0; index < length; index++) bytes[at + index] = body[index]!;
    else bytes.set(body, at);
    this.#end = this.#writeHeaders(at + length, headers);
  }

  /** Makes room, writes all that precedes the body, and returns where the body goes. */
  #place(id: number, bodyLength: number, idLength: number, headersLength: number): number {
    const ofBody = bodyLength === 0 ? 0 : 1 + varintLength(bodyLength) + bodyLength;
    const messageLength = idLength + ofBody + headersLength;
    if (messageLength > this.maxMessageBytes) throw tooLarge(messageLength, this.maxMessageBytes);
    // The entry's tag and length take up to six more bytes.
    this.#reserve(messageLength + 6);
    const bytes = this.#buffer.bytes;
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
    const bytes = this.#buffer.bytes;
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

  /** Makes room for `needed` more bytes; the open batch moves to another buffer if they do not fit into this one. */
  #reserve(needed: number): void {
    const buffer = this.#buffer;
    if (this.#count === 0 && buffer.users === 1) {
      // All batches in this buffer were released.
      this.#start = HEADROOM;
      this.#end = HEADROOM;
    }
    if (this.#end + needed <= buffer.bytes.length) return;
    const { size } = this;
    const wanted = HEADROOM + size + needed;
    const next = this.#buffers.take(Math.max(Math.min(SEND_BUFFER_BYTES, buffer.bytes.length * 2), wanted));
    next.bytes.set(buffer.bytes.subarray(this.#start, this.#end), HEADROOM);
    this.#buffer = next;
    this.#start = HEADROOM;
    this.#end = HEADROOM + size;
    this.#buffers.release(buffer);
  }
}

function encodedHeadersLength(headers: Headers): number {
  // The keys of a Map, an array or the web's Headers are not what the caller means to send.
  if (typeof headers !== "object" || headers === null || Symbol.iterator in headers)
    throw wrongHeaders(headers);
  let length = 0;
  for (const key of Object.keys(headers)) {
    const value: unknown = headers[key];
    if (typeof value !== "string") {
      throw new TinyMQError(
        "INVALID_ARGUMENT",
        `header ${JSON.stringify(key)} must be a string, not ${typeof value}`,
      );
    }
    const entry = encodedHeaderLength(textCoder.byteLength(key), textCoder.byteLength(value));
    length += 1 + varintLength(entry) + entry;
  }
  return length;
}

function encodedHeaderLength(keyLength: number, valueLength: number): number {
  return 2 + varintLength(keyLength) + keyLength + varintLength(valueLength) + valueLength;
}

function wrongHeaders(headers: unknown): TinyMQError {
  const given =
    typeof headers === "object" && headers !== null
      ? (headers.constructor?.name ?? "object")
      : String(headers);
  const hint = headers instanceof Map ? ": convert it with Object.fromEntries()" : "";
  return new TinyMQError(
    "INVALID_ARGUMENT",
    `headers must be an object of strings such as { shop: "north" }, not ${given}${hint}`,
  );
}

function wrongId(id: unknown): TinyMQError {
  return new TinyMQError(
    "INVALID_ARGUMENT",
    `the id must be an integer from 0 to ${MAX_ID}, not ${String(id)}`,
  );
}

function tooLarge(length: number, limit: number): MessageTooLarge {
  return new MessageTooLarge(`the message has ${length} bytes as encoded, the limit is ${limit}`);
}
