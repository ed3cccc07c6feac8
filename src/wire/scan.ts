/**
 * How the server reads an encoded `Batch`: it walks the entries and never decodes a body.
 *
 * A batch is a sequence of entries `0x0a, length, Message`. The other functions rely on `checkBatch` and check no
 * bounds themselves. Source of the encoding: protobuf.dev, "Encoding".
 */
import { TinyMQError } from "../errors.ts";
import { readVarint, varintEnd } from "./varint.ts";

/** The tag of `Batch.messages`. */
export const ENTRY_TAG = 0x0a;
const ID_TAG = 0x08;
const BODY_TAG = 0x12;
const HEADERS_TAG = 0x1a;
const KEY_TAG = 0x0a;
const VALUE_TAG = 0x12;

/** How many messages a walk over a batch covered, and where it ended. */
export interface Span {
  count: number;
  end: number;
}

/**
 * Checks that `bytes[start, end)` is a batch of well-formed messages and returns how many there are.
 * Throws INVALID_ARGUMENT for a malformed batch, OUT_OF_RANGE for an entry or a count above its limit.
 */
export function checkBatch(
  bytes: Uint8Array,
  start: number,
  end: number,
  maxMessageBytes: number,
  maxMessages: number,
): number {
  let at = start;
  let count = 0;
  while (at < end) {
    if (bytes[at] !== ENTRY_TAG) throw malformed(`entry ${count} does not begin with tag 10`);
    at += 1;
    let length = bytes[at++]!;
    if (length >= 0x80 || at > end) {
      length = readLength(bytes, at - 1, end);
      at = lengthEnd;
    }
    const entryEnd = at + length;
    if (entryEnd > end)
      throw malformed(`entry ${count} runs ${entryEnd - end} bytes past the end of its batch`);
    if (length > maxMessageBytes) {
      throw new TinyMQError(
        "OUT_OF_RANGE",
        `message ${count} of the batch has ${length} bytes as encoded, the limit is ${maxMessageBytes}`,
      );
    }
    checkMessage(bytes, at, entryEnd, count);
    at = entryEnd;
    count += 1;
  }
  if (count > maxMessages) {
    throw new TinyMQError("OUT_OF_RANGE", `the batch has ${count} messages, the limit is ${maxMessages}`);
  }
  return count;
}

/** How many whole entries of a checked batch, from `start` on, fit into both limits; at least `least`. */
export function spanWithin(
  bytes: Uint8Array,
  start: number,
  end: number,
  maxMessages: number,
  maxBytes: number,
  least: number,
): Span {
  let at = start;
  let count = 0;
  while (at < end && count < maxMessages) {
    const next = entryEnd(bytes, at);
    if (next - start > maxBytes && count >= least) break;
    at = next;
    count += 1;
  }
  return { count, end: at };
}

/** Where the entry at `at` of a checked batch ends. */
export function entryEnd(bytes: Uint8Array, at: number): number {
  const first = bytes[at + 1]!;
  if (first < 0x80) return at + 2 + first;
  const second = bytes[at + 2]!;
  if (second < 0x80) return at + 3 + (first & 0x7f) + second * 0x80;
  const third = bytes[at + 3]!;
  if (third < 0x80) return at + 4 + (first & 0x7f) + (second & 0x7f) * 0x80 + third * 0x4000;
  const length = readLength(bytes, at + 1, bytes.length);
  return lengthEnd + length;
}

/** Of a checked batch: where the entry `count` entries after `at` begins. */
export function skipEntries(bytes: Uint8Array, at: number, count: number): number {
  let position = at;
  for (let skipped = 0; skipped < count; skipped++) position = entryEnd(bytes, position);
  return position;
}

/** Where the message of the entry at `at` of a checked batch begins, after tag and length. */
export function messageStart(bytes: Uint8Array, at: number): number {
  let position = at + 1;
  while (bytes[position]! >= 0x80) position += 1;
  return position + 1;
}

/** The id of the message of the entry at `at` of a checked batch. */
export function messageId(bytes: Uint8Array, at: number): number {
  let position = messageStart(bytes, at);
  const end = entryEnd(bytes, at);
  let id = 0;
  while (position < end) {
    const tag = readVarint(bytes, position, end);
    position = varintEnd;
    if (tag === ID_TAG) {
      id = readVarint(bytes, position, end);
      position = varintEnd;
    } else {
      position = skipField(bytes, position, end, tag);
    }
  }
  return id;
}

/** Calls `visit` for each field of `bytes[start, end)`; `fieldStart` is where its tag begins. */
export function eachField(
  bytes: Uint8Array,
  start: number,
  end: number,
  visit: (tag: number, valueStart: number, fieldStart: number, fieldEnd: number) => void,
): void {
  let position = start;
  while (position < end) {
    const tag = readVarint(bytes, position, end);
    const valueStart = varintEnd;
    const fieldEnd = skipField(bytes, valueStart, end, tag);
    visit(tag, valueStart, position, fieldEnd);
    position = fieldEnd;
  }
}

function checkMessage(bytes: Uint8Array, start: number, end: number, index: number): void {
  let at = start;
  while (at < end) {
    const tag = bytes[at++]!;
    if (tag === ID_TAG) {
      // Ids below 128 are one byte; larger ones must be numbers that JavaScript represents exactly.
      if (at < end && bytes[at]! < 0x80) {
        at += 1;
        continue;
      }
      const id = readVarint(bytes, at, end);
      if (id > Number.MAX_SAFE_INTEGER) throw malformed(`the id of message ${index} is above 2^53-1`);
      at = varintEnd;
    } else if (tag === BODY_TAG) {
      const length = readLength(bytes, at, end);
      at = lengthEnd + length;
      if (at > end) throw malformed(`the body of message ${index} runs past its end`);
    } else if (tag === HEADERS_TAG) {
      const length = readLength(bytes, at, end);
      at = lengthEnd + length;
      if (at > end) throw malformed(`a header of message ${index} runs past its end`);
      checkHeader(bytes, at - length, at, index);
    } else {
      const wholeTag = readVarint(bytes, at - 1, end);
      if (wholeTag > 0xffff_ffff || wholeTag >>> 3 <= 3) {
        throw malformed(`message ${index} has a field with tag ${wholeTag}`);
      }
      at = skipField(bytes, varintEnd, end, wholeTag);
    }
  }
}

/** A header is a map entry: a key and a value, both UTF-8. Some decoders refuse any other field, and so do we. */
function checkHeader(bytes: Uint8Array, start: number, end: number, index: number): void {
  let at = start;
  while (at < end) {
    const tag = readVarint(bytes, at, end);
    if (tag !== KEY_TAG && tag !== VALUE_TAG) throw malformed(`a header of message ${index} has tag ${tag}`);
    const length = readLength(bytes, varintEnd, end);
    at = lengthEnd + length;
    if (at > end) throw malformed(`a header of message ${index} runs past its end`);
    if (!isUtf8(bytes, at - length, at)) throw malformed(`a header of message ${index} is not UTF-8`);
  }
}

const strictUtf8 = new TextDecoder("utf-8", { fatal: true });

function isUtf8(bytes: Uint8Array, start: number, end: number): boolean {
  let at = start;
  while (at < end && bytes[at]! < 0x80) at += 1;
  if (at === end) return true;
  try {
    strictUtf8.decode(bytes.subarray(at, end));
    return true;
  } catch {
    return false;
  }
}

/** Where the last length that was read ends, like `varintEnd`. */
let lengthEnd = 0;

function readLength(bytes: Uint8Array, at: number, end: number): number {
  const length = readVarint(bytes, at, end);
  if (length > 0x7fff_ffff) throw malformed("a length is above 2^31-1");
  lengthEnd = varintEnd;
  return length;
}

function skipField(bytes: Uint8Array, valueStart: number, end: number, tag: number): number {
  let fieldEnd: number;
  switch (tag & 7) {
    case 0:
      readVarint(bytes, valueStart, end);
      return varintEnd;
    case 1:
      fieldEnd = valueStart + 8;
      break;
    case 2: {
      const length = readLength(bytes, valueStart, end);
      fieldEnd = lengthEnd + length;
      break;
    }
    case 5:
      fieldEnd = valueStart + 4;
      break;
    default:
      throw malformed(`a field has wire type ${tag & 7}`);
  }
  if (fieldEnd > end || tag < 8) throw malformed("a field runs past the end of its message");
  return fieldEnd;
}

function malformed(what: string): TinyMQError {
  return new TinyMQError("INVALID_ARGUMENT", `malformed batch: ${what}`);
}
