import { expect, test } from "bun:test";
import fc from "fast-check";
import { TinyMQError } from "../../src/errors.ts";
import {
  ConsumeResponse,
  ProduceRequest,
  ProduceResponse,
  SubscribeResponse,
} from "../../src/gen/tinymq/v1/queue.ts";
import { requireCount } from "../../src/session/open.ts";
import { type FrameSink, FrameWriter, readAcked, readProduceBatch } from "../../src/wire/frames.ts";
import { runs } from "../support/runs.ts";

const number = fc.oneof(
  fc.nat(300),
  fc.constantFrom(2 ** 28, 2 ** 32, 2 ** 49, 2 ** 53 - 1),
  fc.maxSafeNat(),
);
const count = fc.oneof(fc.nat(300), fc.nat(2 ** 31 - 1), fc.constant(2 ** 32 - 1));
const bytes = fc.oneof(
  fc.uint8Array({ maxLength: 300 }),
  fc.constantFrom(...[16_300, 70_000, 2_100_000].map(filled)),
);
const hex = (frame: Uint8Array) => Buffer.from(frame).toString("hex");

function filled(length: number): Uint8Array {
  return new Uint8Array(length).fill(7);
}

/** The frame that was sent. */
function sent(send: (to: FrameSink) => number): Uint8Array {
  let frame = new Uint8Array(0);
  const answer = send({
    send(bytes) {
      frame = bytes.slice();
      return 42;
    },
  });
  expect(answer).toBe(42);
  return frame;
}

test("a delivery is what the generated code writes, in however many parts it is", () => {
  const writer = new FrameWriter();
  const run = fc.record({ firstOffset: number, count, redelivered: fc.boolean(), deliveries: count });
  fc.assert(
    fc.property(
      number,
      number,
      fc.array(run, { maxLength: 9 }),
      fc.array(bytes, { maxLength: 4 }),
      (pullId, firstPosition, all, parts) => {
        const messages = Buffer.concat(parts);
        const frame = sent((to) =>
          writer.delivered({ pullId, firstPosition, runs: all }, parts, messages.length, to),
        );
        const delivered = { pullId, firstPosition, runs: all, messages };
        expect(hex(frame)).toBe(
          hex(ConsumeResponse.toBinary({ kind: { oneofKind: "delivered", delivered } })),
        );
      },
    ),
    runs(250),
  );
});

test("a delivery that is made in place leaves all that stands around it as it was", () => {
  const writer = new FrameWriter();
  let inPlace = 0;
  fc.assert(
    fc.property(fc.nat(80), fc.constantFrom(16_383, 16_384, 70_000), number, (before, length, position) => {
      const memory = new Uint8Array(before + length + 80).map((_, index) => index * 7);
      const kept = memory.slice();
      const messages = memory.subarray(before, before + length);
      const head = {
        pullId: 3,
        firstPosition: position,
        runs: [{ firstOffset: position, count: 1, redelivered: true, deliveries: 3 }],
      };
      const frame = sent((to) =>
        writer.delivered(head, [messages], length, {
          send(bytes) {
            if (bytes.buffer === memory.buffer) inPlace += 1;
            return to.send(bytes);
          },
        }),
      );
      const kind = {
        oneofKind: "delivered",
        delivered: { ...head, messages: kept.slice(before, before + length) },
      };
      expect(hex(frame)).toBe(hex(ConsumeResponse.toBinary({ kind: kind as never })));
      expect(hex(memory)).toBe(hex(kept));
    }),
    runs(300),
  );
  expect(inPlace).toBeGreaterThan(0);
  const failing = {
    send: () => {
      throw new Error("closed");
    },
  };
  const memory = filled(20_000);
  const head = { pullId: 1, firstPosition: 0, runs: [] };
  expect(() => writer.delivered(head, [memory.subarray(100)], 19_900, failing)).toThrow("closed");
  expect(memory).toEqual(filled(20_000));
});

test("published messages are what the generated code writes", () => {
  const writer = new FrameWriter();
  fc.assert(
    fc.property(fc.string({ maxLength: 20 }), number, count, bytes, (epoch, published, many, messages) => {
      const frame = writer.published(new TextEncoder().encode(epoch), published, many, messages);
      const kind = {
        oneofKind: "published",
        published: { epoch, published, count: many, messages },
      } as const;
      expect(hex(frame)).toBe(hex(SubscribeResponse.toBinary({ kind })));
    }),
    runs(500),
  );
});

test("an acknowledgement is what the generated code writes", () => {
  const writer = new FrameWriter();
  fc.assert(
    fc.property(number, (seq) => {
      const wanted = ProduceResponse.toBinary({ kind: { oneofKind: "acked", acked: { seq } } });
      expect(hex(writer.acked(seq))).toBe(hex(wanted));
      // 0 is left out by proto3, and no seq.
      expect(readAcked(wanted)).toEqual(seq === 0 ? null : ProduceResponse.fromBinary(wanted));
    }),
    runs(1_000),
  );
});

test("an acknowledgement that is read by hand is read by the generated code too, and says the same", () => {
  const byte = fc.oneof(fc.constantFrom(8, 16, 18, 127, 128, 255), fc.nat(255));
  let agreed = 0;
  fc.assert(
    fc.property(fc.array(byte, { maxLength: 12 }), fc.boolean(), (body, whole) => {
      const frame = Uint8Array.of(0x12, whole ? body.length + 1 : 3, 0x08, ...body);
      let read: ReturnType<typeof readAcked> = null;
      try {
        read = readAcked(frame);
      } catch (error) {
        expect(error).toBeInstanceOf(TinyMQError);
        expect(() => ProduceResponse.fromBinary(frame)).toThrow();
      }
      if (read === null) return;
      expect(read).toEqual(ProduceResponse.fromBinary(frame));
      agreed += 1;
    }),
    runs(20_000),
  );
  expect(agreed).toBeGreaterThan(0);
});

test("a batch that the generated code writes is read by hand, and says the same", () => {
  fc.assert(
    fc.property(number, number, number, number, bytes, (seq, delayMs, ttlMs, uniqueMs, messages) => {
      const batch = { seq, delayMs, ttlMs, uniqueMs, messages };
      const frame = ProduceRequest.toBinary({ kind: { oneofKind: "batch", batch } });
      const read = readProduceBatch(frame)!;
      expect({ ...read, messages: hex(read.messages) }).toEqual({ ...batch, messages: hex(messages) });
    }),
    runs(500),
  );
});

test("a frame that is read by hand is read by the generated code too, and says the same", () => {
  const byte = fc.oneof(fc.constantFrom(0, 1, 8, 10, 16, 18, 24, 32, 42, 127, 128, 255), fc.nat(255));
  let agreed = 0;
  fc.assert(
    fc.property(fc.array(byte, { maxLength: 24 }), fc.boolean(), (body, whole) => {
      const frame = Uint8Array.of(0x12, whole ? body.length : 3, ...body);
      let read: ReturnType<typeof readProduceBatch> = null;
      try {
        read = readProduceBatch(frame);
      } catch (error) {
        expect(error).toBeInstanceOf(TinyMQError);
      }
      if (read === null) return;
      const { kind } = ProduceRequest.fromBinary(frame);
      if (kind.oneofKind !== "batch") throw new Error("the generated code reads another frame");
      const { messages, ...numbers } = kind.batch;
      expect(hex(read.messages)).toBe(hex(messages));
      for (const [name, value] of Object.entries(numbers)) {
        expect(read[name as keyof typeof numbers]).toBe(value);
      }
      agreed += 1;
    }),
    runs(20_000),
  );
  expect(agreed).toBeGreaterThan(0);
});

test("a number above 2^53-1 is left to the generated code, which refuses it", () => {
  const seq2To53 = Uint8Array.of(0x12, 9, 8, 128, 128, 128, 128, 128, 128, 128, 16);
  expect(readProduceBatch(seq2To53)).toBeNull();
  expect(() => ProduceRequest.fromBinary(seq2To53)).toThrow();
  const largest = Uint8Array.of(0x12, 9, 8, 255, 255, 255, 255, 255, 255, 255, 15);
  expect(readProduceBatch(largest)?.seq).toBe(2 ** 53 - 1);
});

test("other frames are left to the generated code", () => {
  const heartbeat = ProduceRequest.toBinary({ kind: { oneofKind: "heartbeat", heartbeat: {} } });
  expect(readProduceBatch(heartbeat)).toBeNull();
  expect(readProduceBatch(new Uint8Array(0))).toBeNull();
  // A field that this version does not know, and one whose bytes are cut off.
  expect(readProduceBatch(Uint8Array.of(0x12, 2, 0x30, 1))).toBeNull();
  expect(readProduceBatch(Uint8Array.of(0x12, 2, 0x2a, 5))).toBeNull();
});

test("the buffer of a large frame is given back some frames later, amid deliveries and publications", () => {
  const writer = new FrameWriter();
  const large = new Uint8Array(1_000_000);
  const held = () => writer.acked(1).buffer.byteLength;
  for (let round = 0; round < 3; round++) {
    writer.published(new Uint8Array(0), 1, 1, large);
    expect(held()).toBeGreaterThan(large.length);
    for (let frame = 0; frame < 300; frame++) {
      const parts = [Uint8Array.of(0x0a, 1, frame & 0x7f), Uint8Array.of(0x0a, 0)];
      const runs = [{ firstOffset: frame, count: 2, redelivered: false, deliveries: 0 }];
      const bytes = sent((to) => writer.delivered({ pullId: 1, firstPosition: frame, runs }, parts, 5, to));
      const { kind } = ConsumeResponse.fromBinary(bytes);
      expect(kind.oneofKind === "delivered" && [...kind.delivered.messages]).toEqual([
        10,
        1,
        frame & 0x7f,
        10,
        0,
      ]);
    }
    expect(held()).toBe(64 * 1024);
  }
});

test("literal bytes", () => {
  const writer = new FrameWriter();
  expect(writer.acked(300)).toEqual(Uint8Array.of(0x12, 3, 8, 0xac, 2));
  const delivery = {
    pullId: 1,
    firstPosition: 0,
    runs: [{ firstOffset: 0, count: 2, redelivered: true, deliveries: 0 }],
  };
  const parts = [Uint8Array.of(0x0a, 0), Uint8Array.of(0x0a, 0)];
  expect(sent((to) => writer.delivered(delivery, parts, 4, to))).toEqual(
    Uint8Array.of(0x12, 14, 8, 1, 0x1a, 4, 0x10, 2, 0x18, 1, 0x22, 4, 0x0a, 0, 0x0a, 0),
  );
});

test("a count is a whole number from 0 to 2^53-1", () => {
  for (const right of [0, 1, 2 ** 53 - 1]) expect(requireCount(right, "seq")).toBe(right);
  for (const wrong of [-1, 0.5, 2 ** 53, Number.NaN]) expect(() => requireCount(wrong, "seq")).toThrow("seq");
});
