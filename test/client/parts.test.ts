/** The small parts, each alone. */
import { expect, test } from "bun:test";
import { bytes, type Codec, json, protobuf, type StandardSchema, text } from "../../src/client/codecs.ts";
import { Inbox } from "../../src/client/inbox.ts";
import { MissedCounter } from "../../src/client/missed-counter.ts";
import { delayBefore, reconnectPolicy } from "../../src/client/reconnect.ts";
import { milliseconds } from "../../src/client/settings.ts";
import { Limits } from "../../src/gen/tinymq/v1/queue.ts";
import { BatchReader } from "../../src/wire/decode.ts";
import { BatchWriter } from "../../src/wire/encode.ts";
import { batchOf } from "./fake-server.ts";

test("an inbox steps through runs and deliveries, and refuses what does not add up", () => {
  const inbox = new Inbox();
  const run = (firstOffset: number, count: number, redelivered = false) => ({
    firstOffset,
    count,
    redelivered,
    deliveries: 0,
  });
  inbox.push(
    { firstPosition: 5, runs: [run(10, 1, true), run(20, 2)], messages: batchOf(0, ["a", "b", "c"]) },
    3,
  );
  inbox.push({ firstPosition: 9, runs: [run(30, 1)], messages: batchOf(7, ["d"]) }, 1);
  const seen = [];
  while (inbox.next()) seen.push([inbox.position, inbox.offset, inbox.redelivered, inbox.reader.text()]);
  expect(seen).toEqual([
    [5, 10, true, "a"],
    [6, 20, false, "b"],
    [7, 21, false, "c"],
    [9, 30, false, "d"],
  ]);
  inbox.push({ firstPosition: 10, runs: [run(40, 2)], messages: batchOf(0, ["a"]) }, 2);
  expect(inbox.next()).toBe(true);
  expect(() => inbox.next()).toThrow("do not match");
  inbox.clear();
  expect(inbox.next()).toBe(false);
  inbox.push({ firstPosition: 12, runs: [run(40, 1)], messages: batchOf(0, ["a", "b"]) }, 1);
  inbox.push({ firstPosition: 13, runs: [run(40, 1)], messages: batchOf(0, ["a"]) }, 1);
  expect(inbox.next()).toBe(true);
  expect(() => inbox.next()).toThrow("do not match");
});

test("back-off doubles up to its limit, with jitter", () => {
  const policy = reconnectPolicy({ minDelay: 100, maxDelay: "1s", jitter: 0.5 })!;
  expect([0, 1, 2, 3, 4, 50].map((failures) => delayBefore(policy, failures, 0))).toEqual([
    100, 200, 400, 800, 1_000, 1_000,
  ]);
  expect(delayBefore(policy, 4, 1)).toBe(500);
  expect(reconnectPolicy(undefined)).toBeUndefined();
  expect(reconnectPolicy(false)).toBeUndefined();
  expect(reconnectPolicy(true)).toMatchObject({ minDelay: 100, maxDelay: 10_000, initial: false });
  for (const wrong of [{ attempts: -1 }, { jitter: 2 }, { minDelay: "x" }, { attempts: Number.NaN }]) {
    expect(() => reconnectPolicy(wrong)).toThrow();
  }
});

test("durations of sends", () => {
  expect([undefined, 0, 5, "5", "1.5s", "10m"].map((value) => milliseconds(value, "d"))).toEqual([
    0, 0, 5, 5, 1_500, 600_000,
  ]);
  for (const wrong of [-1, Number.NaN, "x", 2 ** 60])
    expect(() => milliseconds(wrong, "delay")).toThrow("delay");
});

test("missed messages are counted exactly", () => {
  const counter = new MissedCounter();
  counter.opened("a", 10);
  counter.seen("a", 10, 2);
  expect(counter.missed).toBe(0);
  counter.seen("a", 15, 1);
  expect(counter.missed).toBe(3);
  counter.seen("a", 16, 0);
  expect(counter.missed).toBe(3);
  // A count that was sent before a frame we have seen.
  counter.seen("a", 12, 0);
  counter.seen("a", 18, 0);
  expect(counter.missed).toBe(5);
  // Made anew: one was published before what we see.
  counter.seen("b", 1, 1);
  expect(counter.missed).toBe(6);
  // Another stream.
  counter.opened("b", 4);
  expect(counter.missed).toBe(8);
  counter.opened("c", 2);
  expect(counter.missed).toBe(10);
});

function roundTrip<In, Out>(codec: Codec<In, Out>, body: In): Out {
  const writer = new BatchWriter();
  writer.add(0, codec.encode(body));
  const reader = new BatchReader(writer.seal().messages);
  reader.next();
  return codec.decode(reader);
}

test("codecs", () => {
  expect(roundTrip(text, "äö")).toBe("äö");
  expect(roundTrip(bytes, Uint8Array.of(1, 2))).toEqual(Uint8Array.of(1, 2));
  expect(roundTrip(json(), { a: [1, null] })).toEqual({ a: [1, null] });
  const limits = Limits.create({ maxInFlight: 3 });
  expect(roundTrip(protobuf(Limits), limits)).toEqual(limits);
  expect(() => text.encode(null as never)).toThrow("the text codec takes a string, not null");
  expect(() => bytes.encode("a" as never)).toThrow("the bytes codec takes a Uint8Array, not string");
  expect(() => json().encode(undefined)).toThrow("not undefined");
  expect(() => protobuf(Limits).encode(1 as never)).toThrow("tinymq.v1.Limits, not number");
});

test("the bytes codec gives a copy of its own", () => {
  const batch = batchOf(0, ["abc"]);
  const reader = new BatchReader(batch);
  reader.next();
  const body = bytes.decode(reader);
  batch.fill(0);
  expect(body).toEqual(new TextEncoder().encode("abc"));
  expect(body.buffer.byteLength).toBe(3);
});

test("json with a Standard Schema checks both ways, and gives the schema's output", () => {
  const schema: StandardSchema<{ n: number }, { n: number; seen: true }> = {
    "~standard": {
      version: 1,
      vendor: "test",
      validate: (value) => {
        const n = (value as { n?: unknown } | null)?.n;
        if (typeof n === "number") return { value: { n, seen: true } };
        return { issues: [{ message: "no number", path: ["n", { key: 0 }] }, { message: "sorry" }] };
      },
    },
  };
  const codec = json(schema);
  expect(roundTrip(codec, { n: 1 })).toEqual({ n: 1, seen: true });
  expect(() => codec.encode({ n: "1" } as never)).toThrow("the body is not valid: n.0: no number; sorry");
  const later = json({
    "~standard": { ...schema["~standard"], validate: async () => ({ value: 1 as never }) },
  });
  expect(() => later.encode({ n: 1 })).toThrow("asynchronously");
});
