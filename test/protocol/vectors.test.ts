/** Every codec there is, against the bytes of docs/protocol-vectors.json. */
import { describe, expect, test } from "bun:test";
import {
  Batch,
  ConsumeResponse,
  ProduceRequest,
  ProduceResponse,
  SubscribeResponse,
} from "../../src/gen/tinymq/v1/queue.ts";
import { BatchReader } from "../../src/wire/decode.ts";
import { BatchWriter } from "../../src/wire/encode.ts";
import { FrameWriter, readProduceBatch } from "../../src/wire/frames.ts";
import { checkBatch, entryEnd, messageId, spanWithin } from "../../src/wire/scan.ts";
import { fromHex, toHex } from "./support.ts";
import { batches, FRAME_TYPES, frames, messageOf, refused, typeNamed } from "./vectors.ts";

const NO_LIMIT = Number.MAX_SAFE_INTEGER;

describe("frames, by the generated code", () => {
  for (const vector of frames) {
    test(vector.name, () => {
      const type = typeNamed(vector.type);
      const wanted = messageOf(vector);
      expect(type.fromBinary(fromHex(vector.hex), { readUnknownField: false })).toEqual(wanted);
      if (vector.plain !== false) expect(toHex(type.toBinary(wanted))).toBe(vector.hex);
    });
  }

  test("every frame type of both wires has a vector, and every kind of each", () => {
    const seen = new Set(
      frames.map(({ type, json }) =>
        type.startsWith("tinyMQ.") ? type : `${type} ${Object.keys(json as object)[0]}`,
      ),
    );
    const wanted = [...FRAME_TYPES.values()].flatMap((type) =>
      type.typeName.startsWith("tinyMQ.")
        ? [type.typeName]
        : type.fields.map((field) => `${type.typeName} ${field.jsonName}`),
    );
    expect([...seen].sort()).toEqual(wanted.sort());
  });
});

describe("frames, by the codecs written by hand", () => {
  const writer = new FrameWriter();
  const batchWriter = new BatchWriter();

  for (const { name, type, hex, plain } of frames) {
    const bytes = fromHex(hex);
    if (type === "tinymq.v1.ProduceRequest") {
      test(`read: ${name}`, () => {
        const { kind } = ProduceRequest.fromBinary(bytes, { readUnknownField: false });
        const batch = readProduceBatch(bytes);
        if (kind.oneofKind !== "batch") expect(batch).toBeNull();
        else if (plain !== false || batch !== null) expect(batch).toEqual(kind.batch);
      });
    }
    if (plain === false) continue;
    test(`write: ${name}`, () => {
      const written = writeByHand(type, bytes);
      if (written !== null) expect(toHex(written)).toBe(hex);
    });
  }

  /** The frame as our own encoders write it; null if it is none of theirs. */
  function writeByHand(type: string, bytes: Uint8Array): Uint8Array | null {
    if (type === "tinymq.v1.ProduceResponse") {
      const { kind } = ProduceResponse.fromBinary(bytes);
      return kind.oneofKind === "acked" ? writer.acked(kind.acked.seq) : null;
    }
    if (type === "tinymq.v1.ConsumeResponse") {
      const { kind } = ConsumeResponse.fromBinary(bytes);
      if (kind.oneofKind !== "delivered") return null;
      const { messages } = kind.delivered;
      const cut = messages.length === 0 ? 0 : entryEnd(messages, 0);
      const parts = [messages.subarray(0, cut), messages.subarray(cut)];
      let frame = new Uint8Array(0);
      writer.delivered(kind.delivered, parts, messages.length, {
        send(sent) {
          frame = sent.slice();
          return frame.length;
        },
      });
      return frame;
    }
    if (type === "tinymq.v1.SubscribeResponse") {
      const { kind } = SubscribeResponse.fromBinary(bytes);
      if (kind.oneofKind !== "published") return null;
      const { epoch, published, count, messages } = kind.published;
      return writer.published(new TextEncoder().encode(epoch), published, count, messages);
    }
    if (type !== "tinymq.v1.ProduceRequest") return null;
    const { kind } = ProduceRequest.fromBinary(bytes);
    if (kind.oneofKind !== "batch" || kind.batch.messages.length === 0) return null;
    for (const { id, body, headers } of Batch.fromBinary(kind.batch.messages).messages)
      batchWriter.add(id, body, headers);
    const { seq, delayMs, ttlMs, uniqueMs } = kind.batch;
    return batchWriter.seal().frame(seq, delayMs, ttlMs, uniqueMs);
  }
});

describe("batches", () => {
  for (const { name, hex, messages, plain } of batches) {
    const bytes = fromHex(hex);
    test(name, () => {
      const reader = new BatchReader(bytes);
      for (const wanted of messages) {
        expect(reader.next()).toBe(true);
        expect(String(reader.id)).toBe(wanted.id);
        expect(toHex(reader.bytes())).toBe(wanted.body);
        expect(Object.entries(reader.headers() ?? {})).toEqual(Object.entries(wanted.headers ?? {}));
      }
      expect(reader.next()).toBe(false);
    });

    test(`${name}: as the server sees it`, () => {
      expect(checkBatch(bytes, 0, bytes.length, NO_LIMIT, NO_LIMIT)).toBe(messages.length);
      expect(spanWithin(bytes, 0, bytes.length, NO_LIMIT, NO_LIMIT, 0)).toEqual({
        count: messages.length,
        end: bytes.length,
      });
      let at = 0;
      for (const { id } of messages) {
        expect(String(messageId(bytes, at))).toBe(id);
        at = entryEnd(bytes, at);
      }
      expect(at).toBe(bytes.length);
    });

    test(`${name}: by the generated code`, () => {
      // Its map has no place for the name of every object's prototype; our reader above has.
      const known = (headers: Readonly<Record<string, string>> = {}) =>
        Object.fromEntries(Object.entries(headers).filter(([key]) => key !== "__proto__"));
      expect(
        Batch.fromBinary(bytes).messages.map(({ id, body, headers }) => [String(id), toHex(body), headers]),
      ).toEqual(messages.map(({ id, body, headers }) => [id, body, known(headers)]));
    });

    if (plain === false) continue;
    test(`${name}: written`, () => {
      const writer = new BatchWriter();
      for (const { id, body, headers } of messages) writer.add(Number(id), fromHex(body), headers);
      expect(toHex(writer.seal().messages)).toBe(hex);
    });
  }
});

describe("bad batches", () => {
  const bad = refused.filter(({ name }) => name.startsWith("batch: "));
  test("there are some", () => expect(bad.length).toBeGreaterThan(10));
  for (const { name, hex } of bad) {
    test(name, () => {
      const { messages } = readProduceBatch(fromHex(hex))!;
      expect(() => checkBatch(messages, 0, messages.length, NO_LIMIT, NO_LIMIT)).toThrow("malformed batch");
    });
  }
});
