import { expect, test } from "bun:test";
import fc from "fast-check";
import { MessageTooLarge, TinyMQError } from "../../src/errors.ts";
import { Batch, ProduceRequest } from "../../src/gen/tinymq/v1/queue.ts";
import { BatchReader } from "../../src/wire/decode.ts";
import { BatchWriter } from "../../src/wire/encode.ts";
import { bufferText, textCoder, webText } from "../../src/wire/text.ts";

const text = fc.oneof(
  fc.string({ maxLength: 200 }),
  fc.string({ unit: "binary", maxLength: 100 }),
  // Lone surrogates too.
  fc
    .array(fc.integer({ min: 0, max: 0xffff }), { maxLength: 60 })
    .map((units) => String.fromCharCode(...units)),
);
const id = fc.oneof(
  fc.constantFrom(0, 1, 127, 128, 2 ** 28, 2 ** 32, 2 ** 35, 2 ** 42, 2 ** 49, Number.MAX_SAFE_INTEGER),
  fc.maxSafeNat(),
);
const message = fc.record({
  id,
  body: fc.oneof(text, fc.uint8Array({ maxLength: 300 })),
  headers: fc.option(fc.dictionary(text, text, { maxKeys: 4 }), { nil: undefined }),
});
const utf8 = new TextEncoder();
const asBytes = (body: string | Uint8Array) => (typeof body === "string" ? utf8.encode(body) : body);
const plain = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex");

test("a batch and its frame equal what the generated code writes", () => {
  const writer = new BatchWriter();
  fc.assert(
    fc.property(
      fc.array(message, { minLength: 1, maxLength: 20 }),
      id,
      id,
      id,
      id,
      (messages, seq, d, t, u) => {
        const sizes = messages.map((m) => writer.add(m.id, m.body, m.headers));
        expect(writer.count).toBe(messages.length);
        expect(writer.size).toBe(sizes.reduce((sum, size) => sum + size, 0));
        const batch = writer.seal();
        const wanted = Batch.toBinary({
          messages: messages.map((m) => ({ id: m.id, body: asBytes(m.body), headers: m.headers ?? {} })),
        });
        expect(plain(batch.messages)).toBe(plain(wanted));
        expect(plain(batch.frame(seq, d, t, u))).toBe(
          plain(
            ProduceRequest.toBinary({
              kind: {
                oneofKind: "batch",
                batch: { seq, delayMs: d, ttlMs: t, uniqueMs: u, messages: wanted },
              },
            }),
          ),
        );
        batch.release();
      },
    ),
  );
});

test("what was written is read again, and equals what the generated code reads", () => {
  fc.assert(
    fc.property(fc.array(message, { maxLength: 20 }), (messages) => {
      const writer = new BatchWriter();
      for (const m of messages) writer.add(m.id, m.body, m.headers);
      const bytes = writer.seal().messages;
      const reader = new BatchReader(bytes);
      for (const wanted of Batch.fromBinary(bytes).messages) {
        expect(reader.next()).toBe(true);
        expect(reader.id).toBe(wanted.id);
        expect(reader.bytes()).toEqual(wanted.body);
        expect(reader.copy()).toEqual(new Uint8Array(wanted.body));
        expect(reader.text()).toBe(new TextDecoder("utf-8", { ignoreBOM: true }).decode(wanted.body));
        // The generated code cannot hold a header of this name; ours can.
        const { ["__proto__"]: _, ...headers } = reader.headers() ?? {};
        expect(headers).toEqual({ ...wanted.headers });
      }
      expect(reader.next()).toBe(false);
    }),
  );
});

test("bodies that were copied stay as they are, whatever becomes of the batch and of their neighbours", () => {
  // Around the lengths at which bodies share a buffer, and fill one.
  const length = fc.oneof(fc.nat(64), fc.integer({ min: 4_000, max: 4_200 }), fc.nat(9_000));
  const lengths = fc.oneof(fc.array(length, { maxLength: 40 }), fc.array(fc.nat(70_000), { maxLength: 2 }));
  fc.assert(
    fc.property(lengths, fc.boolean(), (lengths, shareBuffers) => {
      const writer = new BatchWriter();
      const bodies = lengths.map((size, index) => new Uint8Array(size).fill(index + 1));
      bodies.forEach((body, index) => void writer.add(index, body));
      const bytes = new Uint8Array(writer.seal().messages);
      const reader = new BatchReader(bytes, shareBuffers);
      const copies: Uint8Array[] = [];
      while (reader.next()) copies.push(reader.copy());
      if (!lengths.some((size) => size >= 32_768)) bytes.fill(0xff);
      copies.forEach((copy, index) => {
        expect(copy).toEqual(bodies[index]!);
        expect(copy.buffer.byteLength).toBeLessThanOrEqual(
          copy.length >= 32_768 ? 2 * copy.length : shareBuffers ? Math.max(8_192, copy.length) : copy.length,
        );
        copy.fill(0);
      });
    }),
  );
});

test("a header named __proto__ survives", () => {
  const writer = new BatchWriter();
  writer.add(1, "a", JSON.parse('{"__proto__":"x","b":""}'));
  const reader = new BatchReader(writer.seal().messages);
  reader.next();
  const headers = reader.headers()!;
  expect(Object.keys(headers)).toEqual(["__proto__", "b"]);
  expect(Object.entries(headers)).toEqual([
    ["__proto__", "x"],
    ["b", ""],
  ]);
  expect(Object.getPrototypeOf(headers)).toBeNull();
});

test("literal bytes", () => {
  const writer = new BatchWriter();
  writer.add(0, "");
  writer.add(1, "Hi", { k: "v" });
  const batch = writer.seal();
  expect(batch.messages).toEqual(
    Uint8Array.of(0x0a, 0, 0x0a, 14, 8, 1, 0x12, 2, 0x48, 0x69, 0x1a, 6, 0x0a, 1, 0x6b, 0x12, 1, 0x76),
  );
  expect(batch.frame(3, 0, 0, 0).subarray(0, 6)).toEqual(Uint8Array.of(0x12, 22, 8, 3, 0x2a, 18));
});

test("many batches in flight keep their bytes while slabs are reused", () => {
  const writer = new BatchWriter();
  const flying: { batch: ReturnType<BatchWriter["seal"]>; copy: Uint8Array }[] = [];
  for (let round = 0; round < 400; round++) {
    for (let index = 0; index < 1 + (round % 50); index++)
      writer.add(round, `${round}-${index}`.padEnd(600, "x"));
    const batch = writer.seal();
    flying.push({ batch, copy: batch.frame(round, 1, 2, 3).slice() });
    if (round % 3 !== 0) flying.shift()!.batch.release();
    for (const { batch: other, copy } of flying.slice(0, 4)) {
      expect(Buffer.compare(other.messages, copy.subarray(copy.length - other.size))).toBe(0);
    }
  }
});

test("wrong ids, bodies and headers are INVALID_ARGUMENT and leave the batch as it was", () => {
  const writer = new BatchWriter(100);
  writer.add(1, "a");
  const size = writer.size;
  for (const wrong of [-1, 1.5, 2 ** 53, Number.NaN, "1", 1n, null]) {
    expect(() => writer.add(wrong as number, "a")).toThrow(TinyMQError);
  }
  for (const wrong of [1, null, undefined, {}, new ArrayBuffer(1)]) {
    expect(() => writer.add(1, wrong as string)).toThrow("the body must be a string or a Uint8Array");
  }
  expect(() => writer.add(1, "a", { k: 1 as never })).toThrow('header "k" must be a string, not number');
  expect(() => writer.add(1, "a".repeat(97))).toThrow(MessageTooLarge);
  expect(() => writer.add(1, "a".repeat(100))).toThrow("has 104 bytes as encoded, the limit is 100");
  expect(() => writer.add(1, "ä".repeat(49))).toThrow(MessageTooLarge);
  expect(() => writer.add(1, new Uint8Array(97))).toThrow(MessageTooLarge);
  writer.add(1, "a".repeat(96));
  expect(writer.size).toBe(size + 102);
  expect(writer.count).toBe(2);
});

test("arbitrary bytes are read to their end or are DATA_LOSS", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 80 }), (bytes) => {
      const reader = new BatchReader(bytes);
      try {
        while (reader.next()) {
          reader.text();
          reader.headers();
        }
        expect(reader.done).toBe(true);
      } catch (error) {
        expect((error as TinyMQError).code).toBe("DATA_LOSS");
      }
    }),
  );
});

test("unknown fields are skipped, the last of a repeated single field holds", () => {
  const entry = [
    0x08, 1, 0x20, 5, 0x12, 1, 0x61, 0x2a, 1, 0, 0x08, 2, 0x31, 0, 0, 0, 0, 0, 0, 0, 0, 0x12, 1, 0x62,
  ];
  const reader = new BatchReader(Uint8Array.of(0x0a, entry.length, ...entry));
  expect(reader.next()).toBe(true);
  expect(reader.id).toBe(2);
  expect(reader.text()).toBe("b");
  expect(reader.headers()).toBeUndefined();
});

test("Buffer's text and the web's are the same", () => {
  expect(textCoder).not.toBe(webText);
  expect(bufferText(undefined)).toBeUndefined();
  fc.assert(
    fc.property(text, fc.uint8Array({ maxLength: 40 }), (value, raw) => {
      const wanted = utf8.encode(value);
      for (const coder of [textCoder, webText]) {
        expect(coder.byteLength(value)).toBe(wanted.length);
        const bytes = new Uint8Array(wanted.length + 2).fill(7);
        coder.write(bytes, 1, value, wanted.length);
        expect(plain(bytes)).toBe(`07${plain(wanted)}07`);
        expect(coder.read(bytes, 1, bytes.length - 1)).toBe(value.toWellFormed());
        expect(coder.read(raw, 0, raw.length)).toBe(
          new TextDecoder("utf-8", { ignoreBOM: true }).decode(raw),
        );
      }
    }),
    { numRuns: 1_000 },
  );
});
