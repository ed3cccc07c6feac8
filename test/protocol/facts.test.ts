/** What docs/protocol.md says and no vector can show in a few bytes. */
import { describe, expect, test } from "bun:test";
import { Batch, ConsumeMode, Outcome } from "../../src/gen/tinymq/v1/queue.ts";
import * as limits from "../../src/wire/limits.ts";
import { ConsumeStream, message, ProduceStream } from "./streams.ts";
import { startServer, type TestServer, until, Wire } from "./support.ts";

const MAX_FRAME = limits.MAX_MESSAGE_BYTES + limits.BATCH_SLACK_BYTES + limits.FRAME_SLACK_BYTES;
const MAX_SOCKET = MAX_FRAME + 64 * limits.KiB;
/** The page's: runs that a consumer holds unsettled before its pulls wait. */
const MOST_RUNS = 16_384;

describe("sizes", () => {
  for (const [byteLength, code] of [
    [MAX_FRAME + 1, 4011],
    [MAX_SOCKET, 4011],
    [MAX_SOCKET + 1, 1009],
  ] as const) {
    test(`a frame of ${byteLength} bytes ends the stream with ${code}`, async () => {
      await using server = await startServer();
      const { wire } = await ProduceStream.open(server, "t");
      wire.send(new Uint8Array(byteLength));
      expect((await wire.end()).code).toBe(code);
    });
  }

  for (const [byteLength, status] of [
    [limits.MiB, 200],
    [limits.MiB + 1, 413],
  ] as const) {
    test(`a unary call with a body of ${byteLength} bytes is answered with ${status}`, async () => {
      await using server = await startServer();
      const response = await fetch(`http://127.0.0.1:${server.port}/twirp/tinymq.v1.Admin/ListTopics`, {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: " ".repeat(byteLength),
      });
      expect(response.status).toBe(status);
    });
  }

  test("a handshake of another WebSocket version is answered with 426, and told to use 13", async () => {
    await using server = await startServer();
    const headers = { Connection: "Upgrade", Upgrade: "websocket", "Sec-WebSocket-Version": "12" };
    const response = await fetch(`http://127.0.0.1:${server.port}/tinymq.v1.TinyMQ/Produce`, {
      headers: { ...headers, "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==" },
    });
    expect(response.status).toBe(426);
    expect(response.headers.get("sec-websocket-version")).toBe("13");
    expect(await response.text()).toContain("13");
  });
});

test("a consumer of 16,384 unsettled runs gets nothing more until it settles some, another consumer does", async () => {
  await using server = await startServer();
  await fragments(server, MOST_RUNS + 2_048);
  const consumer = await openShared(server);
  let runs = 0;
  while (runs < MOST_RUNS) {
    const delivered = (await consumer.pull())!;
    // Each message is a run of its own, for its neighbours are with somebody else.
    expect(delivered.runs.length).toBeLessThanOrEqual(1_024);
    runs += delivered.runs.length;
  }
  expect(runs).toBe(MOST_RUNS);
  consumer.sendPull(0, 60_000);
  const other = await openShared(server);
  expect((await other.pull(1))?.runs).toHaveLength(1);
  expect(consumer.wire.frames).toEqual([]);
  consumer.send({ oneofKind: "ack", ack: { count: 1 } });
  expect((await consumer.next()).oneofKind).toBe("delivered");
});

async function openShared(server: TestServer): Promise<ConsumeStream> {
  const consumer = await ConsumeStream.open(server, "t", ConsumeMode.SHARED);
  await consumer.next();
  return consumer;
}

/** So many ready messages in the topic "t", no two of which follow each other: somebody holds those between. */
async function fragments(server: TestServer, count: number): Promise<void> {
  const producer = await ProduceStream.open(server, "t");
  for (let left = 2 * count; left > 0; left -= limits.MAX_BATCH_MESSAGES) {
    const length = Math.min(left, limits.MAX_BATCH_MESSAGES);
    await producer.produce(Array.from({ length }, () => message(1)));
  }
  const holder = await openShared(server);
  for (let got = 0; got < 2 * count; )
    got += Batch.fromBinary((await holder.pull(limits.MAX_BATCH_MESSAGES))!.messages).messages.length;
  for (let position = 0; position < 2 * count; position += 2) {
    const settle = { position, count: 1, outcome: Outcome.RETRY, reason: "", delayMs: 0 };
    holder.send({ oneofKind: "settle", settle });
  }
  await until(
    async () => Number((await server.admin("GetTopic", { topic: "t" })).ready) === count,
    `${count} ready messages`,
  );
}

describe("a rewind", () => {
  test("frees the places of the pulls that it answers: 64 more may follow before rewound is read", async () => {
    await using server = await startServer();
    const consumer = await ConsumeStream.open(server, "t");
    await consumer.next();
    for (let round = 0; round < 2; round++) {
      for (let pulls = 0; pulls < limits.MAX_PULLS_IN_FLIGHT; pulls++) consumer.sendPull(1, 60_000);
      if (round === 0)
        consumer.send({ oneofKind: "rewind", rewind: { position: 0, reason: "", delayMs: 0 } });
    }
    const answers: string[] = [];
    for (let count = 0; count <= limits.MAX_PULLS_IN_FLIGHT; count++)
      answers.push((await consumer.next()).oneofKind!);
    expect(answers.slice(0, -1)).toEqual(Array(limits.MAX_PULLS_IN_FLIGHT).fill("empty"));
    expect(answers.at(-1)).toBe("rewound");
    expect(consumer.wire.closed).toBeNull();
  });

  test("its delay ends where the message becomes a dead letter, which has the reason", async () => {
    await using server = await startServer({ maxDeliveries: 1 });
    const producer = await ProduceStream.open(server, "t");
    await producer.produce([message(1), message(2)]);
    const consumer = await ConsumeStream.open(server, "t");
    await consumer.next();
    await consumer.pull();
    const rewind = { position: 0, reason: "busy", delayMs: 60_000 };
    expect((await consumer.send({ oneofKind: "rewind", rewind }).next()).oneofKind).toBe("rewound");
    // It was the last delivery that it may have.
    expect((await server.admin("GetTopic", { topic: "t" })).heldMs).toBe("0");
    expect((await consumer.pullAll()).map(({ id }) => id)).toEqual([2]);
    const [letter] = await (await openConsumer(server, "t.dead")).pullAll();
    expect(letter?.headers).toMatchObject({
      "tinymq-dead-reason": "max-deliveries: busy",
      "tinymq-dead-deliveries": "1",
    });
  });

  test("its delay shows in Admin, holds what comes later, and ends with a purge", async () => {
    await using server = await startServer();
    const producer = await ProduceStream.open(server, "t");
    await producer.produce([message(1), message(2)]);
    const consumer = await openConsumer(server, "t");
    await consumer.pull();
    const rewind = { position: 0, reason: "", delayMs: 3_600_000 };
    expect((await consumer.send({ oneofKind: "rewind", rewind }).next()).oneofKind).toBe("rewound");
    await producer.produce([message(3)]);
    expect((await server.admin("GetTopic", { topic: "t" })).heldMs).toBe("3600000");
    expect(await consumer.pull()).toBeNull();
    expect(await server.admin("PurgeTopic", { topic: "t" })).toEqual({ purged: "3" });
    await producer.produce([message(4)]);
    expect((await consumer.pullAll()).map(({ id }) => id)).toEqual([4]);
  });
});

async function openConsumer(server: TestServer, topic: string): Promise<ConsumeStream> {
  const consumer = await ConsumeStream.open(server, topic);
  await consumer.next();
  return consumer;
}

describe("dead letters", () => {
  test("for which no topic may be made wait undelivered, and are moved once there is room", async () => {
    await using server = await startServer({ maxTopics: 2, idleTopicTtl: 10_000 });
    const producer = await ProduceStream.open(server, "t");
    const other = await ProduceStream.open(server, "other");
    await producer.produce([message(1), message(2)]);
    const consumer = await openConsumer(server, "t");
    await consumer.pull();
    const settle = { position: 0, count: 1, outcome: Outcome.REJECT, reason: "no", delayMs: 0 };
    consumer.send({ oneofKind: "settle", settle });
    // It is settled for its consumer, and nobody gets it.
    expect(await consumer.pull()).toBeNull();
    server.clock.advance(5);
    expect(await consumer.next()).toEqual({ oneofKind: "settled", settled: { count: 1 } });
    expect(await server.admin("GetTopic", { topic: "t" })).toMatchObject({ ready: "0", unacked: "2" });
    await other.wire.close();
    await until(
      async () => (await server.admin("GetTopic", { topic: "other" })).producers === 0,
      "it is gone",
    );
    server.clock.advance(10_000);
    await until(async () => {
      server.clock.advance(1_000);
      return (await server.admin("GetTopic", { topic: "t" })).unacked === "1";
    }, "the dead letter has moved");
    expect((await (await openConsumer(server, "t.dead")).pullAll()).map(({ id }) => id)).toEqual([1]);
  });

  test("that are redriven are new messages: behind all others, without our headers and deliveries", async () => {
    await using server = await startServer();
    const producer = await ProduceStream.open(server, "t");
    await producer.produce([
      { ...message(1), headers: { shop: "north", "tinymq-dead-own": "kept" } },
      message(2),
    ]);
    const consumer = await openConsumer(server, "t");
    await consumer.pull();
    for (const outcome of [Outcome.RETRY, Outcome.REJECT]) {
      const position = outcome === Outcome.RETRY ? 0 : 2;
      consumer.send({
        oneofKind: "settle",
        settle: { position, count: 1, outcome, reason: "no", delayMs: 0 },
      });
      await consumer.pull();
    }
    expect(await server.admin("RedriveTopic", { topic: "t.dead" })).toEqual({ moved: "1" });
    const again = (await consumer.pull())!;
    expect(again.runs).toEqual([{ firstOffset: 2, count: 1, redelivered: false, deliveries: 0 }]);
    const [redriven] = Batch.fromBinary(again.messages).messages;
    expect(redriven).toMatchObject({ id: 1, headers: { shop: "north", "tinymq-dead-own": "kept" } });
    expect(Object.keys(redriven!.headers)).toHaveLength(2);
  });
});

test("what is published counts although nobody is subscribed", async () => {
  await using server = await startServer();
  const producer = await ProduceStream.open(server, "t");
  await producer.produce([message(1), message(2)]);
  expect((await server.admin("GetTopic", { topic: "t" })).counters).toMatchObject({ published: "2" });
  const wire = await Wire.open(server.port, "/tinymq.v1.TinyMQ/Subscribe", { protocol: "tinymq.v1" });
  // `published` is field 4 of opened.
  expect(await wire.send("0a030a0174").nextHex()).toEndWith("2002");
});

test("a consumer whose new stream is refused loses its older one all the same", async () => {
  await using server = await startServer();
  const id = new Uint8Array(16).fill(7);
  const holder = await ConsumeStream.open(server, "t", ConsumeMode.EXCLUSIVE, id);
  await holder.next();
  const standby = await ConsumeStream.open(server, "t", ConsumeMode.STANDBY);
  await standby.next();
  const refused = await ConsumeStream.open(server, "t", ConsumeMode.SHARED, id);
  expect((await refused.wire.end()).code).toBe(4009);
  expect((await holder.wire.end()).code).toBe(4010);
  expect((await standby.next()).oneofKind).toBe("promoted");
});
