/**
 * Clients that do everything wrong: each ends its own stream, with a code and a reason, and disturbs nobody.
 * A pair that does everything right runs beside them all.
 */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { fromHex, startServer, type TestServer, toHex, until, Wire } from "../protocol/support.ts";
import { frames, refused } from "../protocol/vectors.ts";
import { Random } from "../support/random.ts";
import { HealthyPair } from "./healthy-pair.ts";

const V1 = { protocol: "tinymq.v1" };
const PRODUCE = "/tinymq.v1.TinyMQ/Produce";
const CONSUME = "/tinymq.v1.TinyMQ/Consume";
const SUBSCRIBE = "/tinymq.v1.TinyMQ/Subscribe";
/** Topic "t". */
const OPEN = "0a030a0174";
const MINUTE = 60_000;

let server: TestServer;
let pair: HealthyPair;

beforeEach(async () => {
  server = await startServer();
  pair = await HealthyPair.start(server.port);
});

afterEach(async () => {
  expect(await pair.stop()).toBeGreaterThan(0);
  await server.connections(0);
  const { topics } = (await server.admin("ListTopics")) as { topics: { name: string }[] };
  for (const { name } of topics) await server.admin("PurgeTopic", { topic: name });
  // Long enough for idle topics and for producers that are remembered.
  server.clock.advance(10 * MINUTE);
  expect(await server.admin("GetStatus")).toMatchObject({ memoryUsed: "0", topics: 0, messages: "0" });
  expect(server.log.filter((line) => line.startsWith("error"))).toEqual([]);
  await server.stop();
});

async function opened(path: string, open = OPEN): Promise<Wire> {
  const wire = await Wire.open(server.port, path, V1);
  wire.send(open);
  await wire.next();
  return wire;
}

async function expectEnd(wire: Wire, code: number, reason: string): Promise<void> {
  const end = await wire.end();
  expect(end.code).toBe(code);
  expect(end.reason).toContain(reason);
}

/** `ProduceRequest { batch { seq, messages } }`. */
function batchFrame(seq: number, messages: Uint8Array): Uint8Array {
  const varint = (value: number): number[] =>
    value < 128 ? [value] : [(value & 127) | 128, ...varint(value >>> 7)];
  const head = [0x08, ...varint(seq), 0x2a, ...varint(messages.length)];
  return Buffer.concat([
    Uint8Array.from([0x12, ...varint(head.length + messages.length), ...head]),
    messages,
  ]);
}

describe("all at once", () => {
  test("every frame of the vectors that ends a stream, with its code and a reason; the log stays small", async () => {
    const some = refused.filter(({ options }) => options === undefined);
    await Promise.all(
      some.map(async ({ name, path, wire: version, before, hex, close }) => {
        const wire = await Wire.open(server.port, path, version === "v1" ? V1 : {});
        for (const frame of before) wire.send(frame);
        wire.send(hex);
        const end = await wire.end();
        // All consumers of the vectors name the same topic: all but one of them are refused for that.
        const isBesideAnother = end.code === 4009 && /^(consume|v0: Poll)/.test(name);
        if (!isBesideAnother) expect({ name, code: end.code }).toEqual({ name, code: close });
        expect(end.reason).not.toBe("");
      }),
    );
    const warnings = () => server.log.filter((line) => line.startsWith("warn"));
    expect(warnings()).toHaveLength(10);
    for (let passed = 0; passed < MINUTE; passed += 10_000) {
      server.clock.advance(10_000);
      await pair.passes();
    }
    const wire = await opened(PRODUCE);
    wire.socket.send("text");
    await wire.end();
    expect(warnings()[10]).toMatch(/\d+ more lines were left out/);
    expect(warnings()).toHaveLength(12);
  });

  const seed = Number(process.env.TINYMQ_SEED ?? 20_240_607);
  test(`random frames, seed ${seed} (TINYMQ_SEED sets another)`, async () => {
    const random = new Random(seed);
    const codes = new Map<number, number>();
    for (let round = 0; round < 20; round++) {
      const wires = await Promise.all(Array.from({ length: 15 }, () => badClient(random)));
      for (const wire of wires) {
        if (wire.closed === null && random.chance(0.3)) wire.terminate();
        else if (wire.closed === null) wire.socket.close(1000);
        const { code, reason } = await wire.end();
        codes.set(code, (codes.get(code) ?? 0) + 1);
        if (code >= 4000) expect(reason).not.toBe("");
      }
    }
    // 4013 would be a fault of the server.
    const allowed = [1000, 1006, 4003, 4008, 4009, 4010, 4011, 4012];
    expect([...codes.keys()].filter((code) => !allowed.includes(code))).toEqual([]);
    expect(codes.get(4003)).toBeGreaterThan(100);
  });
});

/** Connects somewhere, opens a stream more often than not, and sends what is nearly right, or not at all. */
async function badClient(random: Random): Promise<Wire> {
  const path = random.pick([PRODUCE, CONSUME, SUBSCRIBE, "/v0"]);
  const wire = await Wire.open(server.port, path, path === "/v0" ? {} : V1);
  const topic = String.fromCharCode(97 + random.below(20));
  if (random.chance(0.8)) {
    const name = toHex(new TextEncoder().encode(topic));
    wire.send(path === "/v0" ? `0d0${1 + random.below(2)}0000001201${name}` : `0a030a01${name}`);
  }
  const type = path === "/v0" ? "tinyMQ." : `tinymq.v1.${path.split("/")[2]}Request`;
  const pool = frames.filter((frame) => frame.type.startsWith(type) && frame.direction === "client");
  const sane = pool.filter(({ name }) => !name.includes("all options"));
  for (let count = random.below(6); count > 0 && wire.closed === null; count--) {
    wire.send(random.chance(0.3) ? noise(random) : damaged(random, fromHex(random.pick(sane).hex)));
  }
  return wire;
}

const noise = (random: Random) => Uint8Array.from({ length: random.below(60) }, () => random.below(256));

function damaged(random: Random, frame: Uint8Array): Uint8Array {
  const bytes = frame.slice();
  const what = random.below(4);
  if (what === 0 || bytes.length === 0) return bytes;
  if (what === 1) return bytes.slice(0, random.below(bytes.length));
  if (what === 2) return Buffer.concat([bytes, noise(random)]);
  bytes[random.below(bytes.length)] = random.below(256);
  return bytes;
}

describe("one by one", () => {
  test("text frames", async () => {
    for (const path of [PRODUCE, CONSUME, SUBSCRIBE, "/v0"]) {
      const wire = await Wire.open(server.port, path, path === "/v0" ? {} : V1);
      wire.socket.send("hello");
      await expectEnd(wire, 4003, "a text frame");
    }
  });

  test("a name of 300 bytes, and one with a control character", async () => {
    const name = new Uint8Array(300).fill(97);
    const wire = await Wire.open(server.port, PRODUCE, V1);
    wire.send(Buffer.concat([fromHex("0aaf020aac02"), name]));
    await expectEnd(wire, 4003, "300");
    const other = await Wire.open(server.port, SUBSCRIBE, V1);
    await expectEnd(other.send("0a050a03610062"), 4003, "control characters");
  });

  test("a message above the limit, and a message too many, are rejected; the stream goes on", async () => {
    const wire = await opened(PRODUCE);
    const body = new Uint8Array(1024 * 1024);
    wire.send(batchFrame(1, Buffer.concat([fromHex("0a84804012808040"), body])));
    expect(await wire.nextHex()).toStartWith("1a");
    wire.send(batchFrame(2, fromHex("0a00".repeat(8_193))));
    expect(await wire.nextHex()).toStartWith("1a");
    wire.send(batchFrame(3, fromHex("0a00".repeat(8_192))));
    expect(await wire.nextHex()).toBe("12020803");
    expect((await server.admin("GetTopic", { topic: "t" })).ready).toBe("8192");
    await wire.close();
  });

  test("a frame that is larger than the socket takes", async () => {
    const wire = await opened(PRODUCE);
    wire.send(new Uint8Array(1024 * 1024 + 2 * 64 * 1024 + 1024 + 1));
    expect((await wire.end()).code).toBe(1009);
  });

  test("a batch that was sent again too late", async () => {
    const wire = await opened(PRODUCE);
    for (let seq = 1; seq <= 257; seq++) wire.send(batchFrame(seq, fromHex("0a00")));
    for (let seq = 1; seq <= 257; seq++) await wire.next();
    wire.send(batchFrame(2, fromHex("0a00")));
    expect(await wire.nextHex()).toBe("12020802");
    wire.send(batchFrame(1, fromHex("0a00")));
    await expectEnd(wire, 4011, "older than the last 256");
  });

  test("a stream that fails gives back what it held", async () => {
    const producer = await opened(PRODUCE);
    producer.send(batchFrame(1, fromHex("0a0208010a020802")));
    await producer.next();
    const consumer = await opened(CONSUME);
    consumer.send("12020801");
    await consumer.next();
    await expectEnd(consumer.send("1a020803"), 4003, "above the 2 messages delivered");
    const next = await opened(CONSUME);
    next.send("12020801");
    expect(await next.nextHex()).toEndWith("0a0208010a020802");
    await next.close();
    await producer.close();
  });

  test("__proto__ is a name like any other: of a topic, and of a header", async () => {
    const open = `0a0b0a09${toHex(new TextEncoder().encode("__proto__"))}`;
    const producer = await opened(PRODUCE, open);
    const entry = `0a101a0e0a09${toHex(new TextEncoder().encode("__proto__"))}120178`;
    producer.send(batchFrame(1, fromHex(entry)));
    expect(await producer.nextHex()).toBe("12020801");
    expect(await server.admin("GetTopic", { topic: "__proto__" })).toMatchObject({
      name: "__proto__",
      ready: "1",
    });
    const consumer = await opened(CONSUME, open);
    consumer.send("12020801");
    expect(await consumer.nextHex()).toEndWith(entry);
    const rival = await Wire.open(server.port, CONSUME, V1);
    await expectEnd(rival.send(open), 4009, "__proto__");
    consumer.send("1a020801");
    await consumer.close();
    await producer.close();
  });

  test("no first frame within 5 s", async () => {
    const paths = [PRODUCE, CONSUME, SUBSCRIBE, "/v0"];
    const wires = await Promise.all(
      paths.map((path) => Wire.open(server.port, path, path === "/v0" ? {} : V1)),
    );
    const good = await opened(PRODUCE);
    await server.connections(7);
    server.clock.advance(4_999);
    await server.connections(7);
    server.clock.advance(1);
    for (const wire of wires) await expectEnd(wire, 4004, "no first frame within 5 s");
    await server.connections(3);
    await until(() => good.closed === null, "the stream that opened stays");
    await good.close();
  });
});
