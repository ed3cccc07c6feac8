/** The first version's clients, byte by byte over real WebSockets (docs/protocol-v0.md). */
import { describe, expect, test } from "bun:test";
import { ConsumeRequest, ConsumeResponse, ProduceRequest } from "../../src/gen/tinymq/v1/queue.ts";
import { OPCODE, RawSocket } from "../protocol/raw-socket.ts";
import { fromHex, startServer, type TestServer, toHex, until, Wire } from "../protocol/support.ts";

const OPEN = "0de8030000";
const UNCONSUMABLE = "0da00f0000";
const EMPTY = "0d0000000015d10700001a0100";
const MAX_FRAME = 1024 * 1024;
const PRODUCER = "01";
const CONSUMER = "02";

const fixed32 = (value: number) => toHex(Uint8Array.of(value, value >>> 8, value >>> 16, value >>> 24));
const utf8 = (text: string) => toHex(new TextEncoder().encode(text));
/** Length and bytes of a field whose length is below 128. */
const short = (hex: string) => toHex(Uint8Array.of(hex.length / 2)) + hex;
const connInit = (role: string, topic: string, token?: string) =>
  `0d${role}00000012${short(utf8(topic))}${token === undefined ? "" : `1a${short(utf8(token))}`}`;
const contentWrite = (id: number, topic: string, body: string) =>
  `0d${fixed32(id)}12${short(utf8(topic))}1a${short(utf8(body))}`;
const poll = (topic: string) => `0a${short(utf8(topic))}`;
const ack = (id: number) => `0d${fixed32(id)}`;
const contentRead = (id: number, body: string) => `0d${fixed32(id)}15d00700001a${short(utf8(body))}`;

async function connect(server: TestServer, role: string, topic = "test", path = "/test"): Promise<Wire> {
  const wire = await Wire.open(server.port, path);
  expect(await wire.send(connInit(role, topic)).nextHex()).toBe(OPEN);
  return wire;
}

/** Has `count` messages with ids from 0 and their ids as bodies produced on the topic "test". */
async function produce(server: TestServer, count: number): Promise<void> {
  const producer = await connect(server, PRODUCER);
  for (let id = 0; id < count; id++) {
    expect(await producer.send(contentWrite(id, "test", `m${id}`)).nextHex()).toBe(ack(id));
  }
  await producer.close();
}

async function polled(consumer: Wire): Promise<string> {
  return consumer.send(poll("test")).nextHex();
}

/** Has one message produced over v1. */
async function produceNew(server: TestServer, messages: Uint8Array): Promise<void> {
  const wire = await Wire.open(server.port, "/tinymq.v1.TinyMQ/Produce", { protocol: "tinymq.v1" });
  wire.send("0a060a0474657374");
  await wire.next();
  const batch = { seq: 1, delayMs: 0, ttlMs: 0, uniqueMs: 0, messages };
  wire.send(ProduceRequest.toBinary({ kind: { oneofKind: "batch", batch } }));
  expect(await wire.nextHex()).toBe("12020801");
  await wire.close();
}

const topic = async (server: TestServer) => server.admin("GetTopic", { topic: "test" });

describe("one message at a time", () => {
  test("produce, acknowledge, poll, empty; ids from 0, every field on the wire", async () => {
    await using server = await startServer();
    const producer = await Wire.open(server.port, "/test");
    expect(await producer.send("0d01000000120474657374").nextHex()).toBe("0de8030000");
    expect(await producer.send("0d000000001204746573741a024869").nextHex()).toBe("0d00000000");
    expect(await producer.send("0d010000001204746573741a00").nextHex()).toBe("0d01000000");
    expect(await producer.send("0dffffffff1204746573741a0100").nextHex()).toBe("0dffffffff");
    const consumer = await Wire.open(server.port, "/test");
    expect(await consumer.send("0d02000000120474657374").nextHex()).toBe("0de8030000");
    expect(await consumer.send("0a0474657374").nextHex()).toBe("0d0000000015d00700001a024869");
    expect(await consumer.send("0a0474657374").nextHex()).toBe("0d0100000015d00700001a00");
    expect(await consumer.send("0a0474657374").nextHex()).toBe("0dffffffff15d00700001a0100");
    expect(await consumer.send("0a0474657374").nextHex()).toBe("0d0000000015d10700001a0100");
    expect(await consumer.send("0a0474657374").nextHex()).toBe("0d0000000015d10700001a0100");
  });

  test("a second consumer is told 4000 and then closed; the first one keeps its place", async () => {
    await using server = await startServer();
    const first = await connect(server, CONSUMER);
    const second = await Wire.open(server.port, "/test");
    expect(await second.send(connInit(CONSUMER, "test")).nextHex()).toBe(UNCONSUMABLE);
    expect((await second.end()).code).toBe(4009);
    expect(await polled(first)).toBe(EMPTY);
    await first.close();
    await server.connections(0);
    expect(await polled(await connect(server, CONSUMER))).toBe(EMPTY);
  });

  test("frames that come faster than answers are answered in order", async () => {
    await using server = await startServer();
    const producer = await connect(server, PRODUCER);
    for (let id = 0; id < 50; id++) producer.send(contentWrite(id, "test", `m${id}`));
    for (let id = 0; id < 50; id++) expect(await producer.nextHex()).toBe(ack(id));
    const consumer = await connect(server, CONSUMER);
    for (let id = 0; id < 50; id++) consumer.send(poll("test"));
    for (let id = 0; id < 50; id++) expect(await consumer.nextHex()).toBe(contentRead(id, `m${id}`));
  });
});

describe("when a message is acknowledged", () => {
  test("the next poll does it", async () => {
    await using server = await startServer();
    await produce(server, 2);
    const consumer = await connect(server, CONSUMER);
    await polled(consumer);
    expect(await topic(server)).toMatchObject({ unacked: "1", ready: "1", counters: { acked: "0" } });
    await polled(consumer);
    expect(await topic(server)).toMatchObject({ unacked: "1", ready: "0", counters: { acked: "1" } });
    expect(await polled(consumer)).toBe(EMPTY);
    expect(await topic(server)).toMatchObject({ unacked: "0", counters: { acked: "2" } });
  });

  for (const code of [1000, 1001]) {
    test(`a clean close does it: ${code}`, async () => {
      await using server = await startServer();
      await produce(server, 2);
      const consumer = await connect(server, CONSUMER);
      expect(await polled(consumer)).toBe(contentRead(0, "m0"));
      await consumer.close(code);
      await server.connections(0);
      expect(await topic(server)).toMatchObject({ ready: "1", unacked: "0", counters: { acked: "1" } });
      expect(await polled(await connect(server, CONSUMER))).toBe(contentRead(1, "m1"));
    });
  }

  for (const end of ["cut", "close 3000"]) {
    test(`any other end gives it back, and it comes first: ${end}`, async () => {
      await using server = await startServer();
      await produce(server, 3);
      const consumer = await connect(server, CONSUMER);
      await polled(consumer);
      expect(await polled(consumer)).toBe(contentRead(1, "m1"));
      if (end === "cut") consumer.terminate();
      else consumer.socket.close(3000);
      await server.connections(0);
      const next = await connect(server, CONSUMER);
      expect(await polled(next)).toBe(contentRead(1, "m1"));
      expect(await polled(next)).toBe(contentRead(2, "m2"));
      expect(await polled(next)).toBe(EMPTY);
    });
  }

  test("a server that stops says 1012", async () => {
    await using server = await startServer();
    const consumer = await connect(server, CONSUMER);
    const stopped = server.stop();
    expect((await consumer.end()).code).toBe(1012);
    await stopped;
  });
});

describe("beside the second version", () => {
  test("what the first produces the second consumes, and the other way round", async () => {
    await using server = await startServer();
    await produce(server, 1);
    const consumer = await Wire.open(server.port, "/tinymq.v1.TinyMQ/Consume", { protocol: "tinymq.v1" });
    consumer.send("0a060a0474657374");
    await consumer.next();
    consumer.send("12020801");
    const { kind } = ConsumeResponse.fromBinary(await consumer.next());
    if (kind.oneofKind !== "delivered") throw new Error(kind.oneofKind);
    expect(toHex(kind.delivered.messages)).toBe("0a0412026d30");
    const refused = await Wire.open(server.port, "/test");
    expect(await refused.send(connInit(CONSUMER, "test")).nextHex()).toBe(UNCONSUMABLE);
    await refused.end();
    consumer.send(ConsumeRequest.toBinary({ kind: { oneofKind: "ack", ack: { count: 1 } } }));
    await consumer.close();
    await produceNew(server, fromHex("0a0f 08ffffffff0f 1a07 0a016b 12027676"));
    expect(await polled(await connect(server, CONSUMER))).toBe("0dffffffff15d00700001a00");
  });

  test("a message with an id above 2^32-1 stays; the connection is closed with the reason, which is logged", async () => {
    await using server = await startServer();
    await produceNew(server, fromHex("0a08 088080808010 1200"));
    const consumer = await connect(server, CONSUMER);
    const end = await consumer.send(poll("test")).end();
    expect(end.code).toBe(4011);
    expect(end.reason).toContain("4294967296");
    await server.connections(0);
    expect(server.log.filter((line) => line.includes("4294967296"))).toHaveLength(1);
    expect(await topic(server)).toMatchObject({ ready: "1", unacked: "0", counters: { acked: "0" } });
    const consumerOfToday = await Wire.open(server.port, "/tinymq.v1.TinyMQ/Consume", {
      protocol: "tinymq.v1",
    });
    consumerOfToday.send("0a060a0474657374");
    await consumerOfToday.next();
    consumerOfToday.send("12020801");
    expect(await consumerOfToday.nextHex()).toEndWith("0a080880808080101200");
  });

  test("a ContentRead of 1 MiB is the largest that is sent", async () => {
    await using server = await startServer();
    const bodyLength = MAX_FRAME - 14;
    const message = (length: number) => {
      const head = [0x12, (length & 0x7f) | 0x80, ((length >> 7) & 0x7f) | 0x80, length >> 14];
      const size = length + 4;
      const entry = [0x0a, (size & 0x7f) | 0x80, ((size >> 7) & 0x7f) | 0x80, size >> 14];
      return Uint8Array.from([...entry, ...head, ...new Uint8Array(length)]);
    };
    await produceNew(server, message(bodyLength));
    const consumer = await connect(server, CONSUMER);
    expect((await consumer.send(poll("test")).next()).length).toBe(MAX_FRAME);
    expect(await polled(consumer)).toBe(EMPTY);
    await produceNew(server, message(bodyLength + 1));
    const end = await consumer.send(poll("test")).end();
    expect(end.code).toBe(4011);
    expect(end.reason).toContain(String(MAX_FRAME + 1));
    await server.connections(0);
    expect(server.log.filter((line) => line.includes(String(MAX_FRAME + 1)))).toHaveLength(1);
    expect(await topic(server)).toMatchObject({ ready: "1", unacked: "0" });
  });
});

describe("how it connects", () => {
  test("auth_token", async () => {
    await using server = await startServer({ token: "secret" });
    for (const token of [undefined, "", "Secret"]) {
      const wire = await Wire.open(server.port, "/test");
      expect((await wire.send(connInit(CONSUMER, "test", token)).end()).code).toBe(4016);
      expect(wire.frames).toEqual([]);
    }
    const wire = await Wire.open(server.port, "/test");
    expect(await wire.send(connInit(CONSUMER, "test", "secret")).nextHex()).toBe(OPEN);
  });

  const NAMES = [
    { what: "only in ConnInit", path: "/", init: "größe/🍣", name: "größe/🍣" },
    { what: "only in the path", path: "/test", init: "", name: "test" },
    { what: "only in the path, not ASCII", path: `/${encodeURIComponent("größe")}`, init: "", name: "größe" },
    { what: "only in the path, with a slash", path: "/a/b", init: "", name: "a/b" },
    { what: "in both: ConnInit's holds", path: "/b//c", init: "/a/../b//c", name: "/a/../b//c" },
    { what: "a percent sign that encodes nothing", path: "/100%", init: "", name: "100%" },
  ];
  for (const { what, path, init, name } of NAMES) {
    test(`the topic stands ${what}`, async () => {
      await using server = await startServer();
      await connect(server, PRODUCER, init, path);
      const { topics } = await server.admin("ListTopics");
      expect((topics as { name: string }[]).map((each) => each.name)).toEqual([name]);
    });
  }

  test("permessage-deflate is offered, and absent from the answer", async () => {
    await using server = await startServer();
    const raw = await RawSocket.open(server.port, "/test", [
      "Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=12; client_max_window_bits=12",
      "User-Agent: Python/3.8 websockets/8.1",
    ]);
    await raw.answered();
    expect(raw.response).toStartWith("HTTP/1.1 101 ");
    expect(raw.response.toLowerCase()).not.toContain("sec-websocket-extensions");
    expect(raw.response.toLowerCase()).not.toContain("sec-websocket-protocol");
    raw.send(OPCODE.binary, fromHex(connInit(CONSUMER, "test")));
    expect(await raw.next()).toEqual({ head: 0x82, payload: Buffer.from(fromHex(OPEN)) });
    raw.cut();
  });
});

describe("silence", () => {
  test("it is pinged every 15 s, and a pong keeps it", async () => {
    await using server = await startServer();
    const raw = await (await RawSocket.open(server.port, "/test")).answered();
    raw.send(OPCODE.binary, fromHex(connInit(CONSUMER, "test")));
    expect((await raw.next()).payload.toString("hex")).toBe(OPEN);
    for (let round = 0; round < 8; round++) {
      expect((await raw.next()).head).toBe(0x80 | OPCODE.ping);
      raw.send(OPCODE.pong, new Uint8Array(0));
      // The answer to our own ping tells that the server has read the pong before it.
      raw.send(OPCODE.ping, Uint8Array.of(round));
      expect(await raw.next()).toEqual({ head: 0x80 | OPCODE.pong, payload: Buffer.from([round]) });
      server.clock.advance(15_000);
    }
    expect(raw.ended).toBe(false);
    raw.cut();
  });

  test("after 40 s without any sign it is given up, and its message goes to the next", async () => {
    await using server = await startServer();
    await produce(server, 1);
    const raw = await (await RawSocket.open(server.port, "/test")).answered();
    raw.send(OPCODE.binary, fromHex(connInit(CONSUMER, "test")));
    raw.send(OPCODE.binary, fromHex(poll("test")));
    await until(
      () => raw.frames.some(({ payload }) => payload.toString("hex") === contentRead(0, "m0")),
      "the message",
    );
    server.clock.advance(39_999);
    expect(await topic(server)).toMatchObject({ unacked: "1", consumers: 1 });
    server.clock.advance(1);
    expect(await topic(server)).toMatchObject({ unacked: "0", ready: "1", consumers: 0 });
    await until(() => raw.ended, "the end of the connection");
    const close = raw.frames.find(({ head }) => head === (0x80 | OPCODE.close));
    expect(close?.payload.readUInt16BE(0)).toBe(4014);
    expect(await polled(await connect(server, CONSUMER))).toBe(contentRead(0, "m0"));
  });
});
