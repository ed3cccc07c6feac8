import { expect, test } from "bun:test";
import fc from "fast-check";
import { TinyMQError } from "../../src/errors.ts";
import { Batch } from "../../src/gen/tinymq/v1/queue.ts";
import {
  checkBatch,
  entryEnd,
  messageId,
  messageStart,
  skipEntries,
  spanWithin,
} from "../../src/wire/scan.ts";
import { runs } from "../support/runs.ts";

const MAX_BYTES = 1_000;
const MAX_COUNT = 100;
const check = (bytes: Uint8Array, maxBytes = MAX_BYTES, maxCount = MAX_COUNT) =>
  checkBatch(bytes, 0, bytes.length, maxBytes, maxCount);

const message = fc.record({
  id: fc.oneof(fc.maxSafeNat(), fc.nat(200)),
  body: fc.uint8Array({ maxLength: 200 }),
  headers: fc.dictionary(
    fc.string({ unit: "grapheme", maxLength: 12 }),
    fc.string({ unit: "binary", maxLength: 12 }),
    {
      maxKeys: 3,
      noNullPrototype: true,
    },
  ),
});
const batch = fc.array(message, { maxLength: 8 }).map((messages) => Batch.toBinary({ messages }));
/** What a byte of a batch might be wrongly: what means something in the encoding comes often. */
const byte = fc.oneof(fc.constantFrom(0, 1, 8, 10, 13, 18, 26, 34, 37, 127, 128, 255), fc.nat(255));
const mutation = fc.record({ at: fc.nat(400), cut: fc.nat(3), put: fc.array(byte, { maxLength: 4 }) });

function mutate(bytes: Uint8Array, mutations: { at: number; cut: number; put: number[] }[]): Uint8Array {
  const mutated = [...bytes];
  for (const { at, cut, put } of mutations) mutated.splice(at % (mutated.length + 1), cut, ...put);
  return Uint8Array.from(mutated);
}

/** What the check said: how many messages, or the code of its error. Anything else that is thrown goes on. */
function verdict(bytes: Uint8Array): number | string {
  try {
    return check(bytes);
  } catch (error) {
    if (error instanceof TinyMQError) return error.code;
    throw error;
  }
}

/** Whatever passed the check is read by the generated code, and the walks agree with what it reads. */
function expectReadable(bytes: Uint8Array): void {
  const found = verdict(bytes);
  if (typeof found === "string") {
    expect(["INVALID_ARGUMENT", "OUT_OF_RANGE"]).toContain(found);
    return;
  }
  const { messages } = Batch.fromBinary(bytes);
  expect(messages).toHaveLength(found);
  let at = 0;
  for (const { id } of messages) {
    expect(messageId(bytes, at)).toBe(id);
    expect(messageStart(bytes, at)).toBeLessThanOrEqual(entryEnd(bytes, at));
    at = entryEnd(bytes, at);
  }
  expect(at).toBe(bytes.length);
}

test("what the generated code writes always passes", () => {
  fc.assert(
    fc.property(fc.array(message, { maxLength: 20 }), fc.nat(50), (messages, padding) => {
      const bytes = Batch.toBinary({ messages });
      // The batch stands among other bytes, as it does in a frame.
      const framed = new Uint8Array(bytes.length + 2 * padding).fill(0xff);
      framed.set(bytes, padding);
      const count = checkBatch(framed, padding, padding + bytes.length, MAX_BYTES, MAX_COUNT);
      expect(count).toBe(messages.length);
    }),
    runs(2_000),
  );
});

test("a mutated batch is refused with an error of ours, or the generated code reads it", () => {
  fc.assert(
    fc.property(batch, fc.array(mutation, { minLength: 1, maxLength: 4 }), (bytes, mutations) =>
      expectReadable(mutate(bytes, mutations)),
    ),
    runs(20_000),
  );
});

test("arbitrary bytes are refused with an error of ours, or the generated code reads them", () => {
  fc.assert(
    fc.property(fc.array(byte, { maxLength: 30 }), (bytes) => {
      expectReadable(Uint8Array.from(bytes));
      expectReadable(Uint8Array.of(10, bytes.length, ...bytes));
      expectReadable(Uint8Array.of(10, bytes.length + 2, 26, bytes.length, ...bytes));
    }),
    runs(20_000),
  );
});

test("a span is the longest that fits, of at least so many", () => {
  fc.assert(
    fc.property(batch, fc.nat(10), fc.nat(600), fc.nat(1), (bytes, maxMessages, maxBytes, least) => {
      const { count, end } = spanWithin(bytes, 0, bytes.length, maxMessages, maxBytes, least);
      expect(skipEntries(bytes, 0, count)).toBe(end);
      expect(count).toBeLessThanOrEqual(maxMessages);
      if (count > least) expect(end).toBeLessThanOrEqual(maxBytes);
      if (end < bytes.length && count < maxMessages && count >= least) {
        expect(entryEnd(bytes, end)).toBeGreaterThan(maxBytes);
      }
    }),
    runs(2_000),
  );
});

test("lengths of one to four bytes are walked alike", () => {
  for (const length of [0, 127, 128, 16_383, 16_384, 2_097_151, 2_097_152]) {
    const entry = { id: 3, body: new Uint8Array(length), headers: {} };
    const bytes = Batch.toBinary({ messages: [entry, { ...entry, id: 4 }] });
    expect(checkBatch(bytes, 0, bytes.length, 1e9, 9)).toBe(2);
    expect(entryEnd(bytes, 0)).toBe(bytes.length / 2);
    expect(messageId(bytes, entryEnd(bytes, 0))).toBe(4);
  }
});

test("literal bytes that are no batch", () => {
  const entry = (...bytes: number[]) => [0x0a, bytes.length, ...bytes];
  const header = (...bytes: number[]) => entry(0x1a, bytes.length, ...bytes);
  const wrong: Record<string, number[]> = {
    "another tag": [0x12, 0],
    "a tag alone": [0x0a],
    "a length that is cut off": [0x0a, 0x80],
    "an entry past the end": [0x0a, 2, 8],
    "a length of eleven bytes": [0x0a, ...Array(10).fill(0x80), 0],
    "an id past the end of its entry": [...entry(8), 1],
    "an id of 2^53": entry(8, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x10),
    "an id of 2^64-1": entry(8, ...Array(9).fill(0xff), 1),
    "an id as a fixed number": entry(13, 0, 0, 0, 0),
    "a body past the end": entry(0x12, 2, 0),
    "a body as a number": entry(0x10, 0),
    "a group": entry(0x23, 0x24),
    "field 0": entry(0x02, 0),
    "a header past the end": entry(0x1a, 1),
    "a key as a number": header(8, 0),
    "a value past the end": header(0x12, 1),
    "a third field of a header": header(0x1a, 0),
    "field 0 of a header": header(0, 0),
    "a key that is no UTF-8": header(0x0a, 1, 0xff),
    "a value cut within a character": header(0x12, 1, 0xc3),
  };
  for (const [what, bytes] of Object.entries(wrong)) {
    expect([what, verdict(Uint8Array.from(bytes))]).toEqual([what, "INVALID_ARGUMENT"]);
  }
});

test("literal bytes that are unusual, and a batch", () => {
  expect(check(Uint8Array.of())).toBe(0);
  expect(check(Uint8Array.of(0x0a, 0, 0x0a, 0))).toBe(2);
  // Unknown fields of every type, an id in ten bytes, fields twice.
  const odd = [0x20, 0x80, 1, 0x29, 0, 0, 0, 0, 0, 0, 0, 0, 0x32, 1, 9, 0x3d, 0, 0, 0, 0];
  odd.push(8, 0x85, ...Array(8).fill(0x80), 0, 0x12, 1, 65, 0x12, 1, 66);
  const bytes = Uint8Array.of(0x0a, odd.length, ...odd);
  expect(check(bytes)).toBe(1);
  expect(messageId(bytes, 0)).toBe(5);
});

test("limits of a message and of a batch are OUT_OF_RANGE", () => {
  const one = Batch.toBinary({ messages: [{ id: 1, body: new Uint8Array(95), headers: {} }] });
  expect(check(one, 99)).toBe(1);
  expect(() => check(one, 98)).toThrow(expect.objectContaining({ code: "OUT_OF_RANGE" }));
  expect(() => check(Uint8Array.of(0x0a, 0, 0x0a, 0), 9, 1)).toThrow(
    expect.objectContaining({ code: "OUT_OF_RANGE" }),
  );
});
