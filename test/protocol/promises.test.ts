/** What docs/guarantees.md promises and no other test shows. */
import { expect, test } from "bun:test";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Batch, ConsumeMode } from "../../src/gen/tinymq/v1/queue.ts";
import { Producer } from "../../src/index.ts";
import { TestConsumer, TestProducer, unfold } from "../support/clients.ts";
import { FakeClock } from "../support/fake-clock.ts";
import { World } from "../support/world.ts";
import { ConsumeStream, message, ProduceStream } from "./streams.ts";
import { fromHex, startServer, until } from "./support.ts";

const HOUR = 3_600_000;
/** Less than a client may be silent. */
const BEAT = 40_000;

test("a consumer that lives and does nothing keeps what it was handed, for an hour and longer", async () => {
  await using server = await startServer();
  await (await ProduceStream.open(server, "t")).produce([message(1), message(2)]);
  const idle = await ConsumeStream.open(server, "t", ConsumeMode.SHARED);
  const other = await ConsumeStream.open(server, "t", ConsumeMode.SHARED);
  expect((await idle.pull(1))?.runs[0]).toMatchObject({ firstOffset: 0, count: 1 });
  expect((await other.pullAll()).map(({ id }) => id)).toEqual([2]);
  for (let passed = 0; passed <= HOUR; passed += BEAT) {
    for (const consumer of [idle, other]) consumer.send({ oneofKind: "heartbeat", heartbeat: {} });
    // Answered, so the heartbeat before it was read.
    expect(await idle.pull()).toBeNull();
    expect(await other.pull()).toBeNull();
    server.clock.advance(BEAT);
  }
  // Two consumers, and the producer that said nothing is gone.
  await server.connections(2);
  expect(await server.admin("GetTopic", { topic: "t" })).toMatchObject({ ready: "0", unacked: "2" });
  idle.send({ oneofKind: "ack", ack: { count: 1 } });
  expect(await idle.pull()).toBeNull();
  expect(await server.admin("GetTopic", { topic: "t" })).toMatchObject({ unacked: "1" });
}, 60_000);

test("what a consumer holds when the server stops comes again after a restart, marked, with no delivery counted", async () => {
  const folder = mkdtempSync(join(tmpdir(), "tinymq-promises-"));
  try {
    const snapshot = join(folder, "queue");
    const before = await startServer({ snapshot, maxDeliveries: 1 });
    await (await ProduceStream.open(before, "t")).produce([1, 2, 3, 4].map((id) => message(id)));
    const holder = await ConsumeStream.open(before, "t");
    await holder.pull(3);
    holder.send({ oneofKind: "ack", ack: { count: 1 } });
    holder.send({ oneofKind: "handed", handed: { count: 3 } });
    expect(await holder.pull(0)).not.toBeNull();
    await before.stop();
    expect((await holder.wire.end()).code).toBe(1012);
    await using after = await startServer({ snapshot });
    const delivered = await (await ConsumeStream.open(after, "t")).pull();
    expect(delivered?.runs).toEqual([{ firstOffset: 1, count: 3, redelivered: true, deliveries: 0 }]);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("a second program with the same producer_id ends the first one's stream, and is answered as the first was", () => {
  const world = new World();
  const first = new TestProducer(world, "t", 1);
  first.send([message(1)]);
  const second = new TestProducer(world, "t", 1);
  expect(first.closed?.code).toBe(4010);
  second.take();
  second.send([message(2)]);
  expect(second.take()).toMatchObject([{ oneofKind: "acked", acked: { seq: 1 } }]);
  const consumer = new TestConsumer(world, "t");
  consumer.pull();
  expect(unfold(consumer.take()[1]!).messages.map((each) => each.message.id)).toEqual([1]);
});

test("without max-deliveries a message that crashes its program comes again without end", () => {
  const world = new World();
  new TestProducer(world, "t").send([message(1)]);
  for (let life = 0; life < 1_000; life++) {
    const consumer = new TestConsumer(world, "t");
    expect(consumer.fetch()).toHaveLength(1);
    consumer.handed(1);
    consumer.link.end(1006);
  }
  expect(world.broker.shared.counters).toMatchObject({ delivered: 1_000, deadLettered: 0 });
});

test("a snapshot restores all that it holds, also above a max-memory that was lowered", async () => {
  const folder = mkdtempSync(join(tmpdir(), "tinymq-promises-"));
  try {
    const snapshot = join(folder, "queue");
    const body = 100_000;
    const count = 40;
    const before = await startServer({ snapshot, maxMemory: "8MiB" });
    const producer = await ProduceStream.open(before, "t");
    for (let id = 0; id < count; id++) await producer.produce([message(id, body)]);
    await before.stop();
    await using after = await startServer({ snapshot, maxMemory: "1MiB" });
    const consumer = await ConsumeStream.open(after, "t");
    const restored = await consumer.pullAll();
    expect(restored.map(({ id }) => id)).toEqual(Array.from({ length: count }, (_, id) => id));
    // It is full until enough was consumed.
    const again = await ProduceStream.open(after, "t");
    expect((await again.produce([message(99, body)])).oneofKind).toBe("rejected");
    consumer.send({ oneofKind: "ack", ack: { count } });
    await until(async () => (await again.produce([message(99, body)])).oneofKind === "acked", "room again");
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("a snapshot that is whole and has what this version does not know is refused, and left as it is", async () => {
  const folder = mkdtempSync(join(tmpdir(), "tinymq-promises-"));
  try {
    const snapshot = join(folder, "queue");
    // One record, of a kind that there is not: field 100, empty.
    const records = Buffer.concat([Buffer.from("tinymq-1"), fromHex("03000000 a20600")]);
    const file = Buffer.concat([records, new Bun.CryptoHasher("sha256").update(records).digest()]);
    writeFileSync(snapshot, file);
    const error = await startServer({ snapshot }).catch((thrown) => thrown);
    expect(error).toMatchObject({ code: "FAILED_PRECONDITION" });
    expect(error.message).toContain("cannot restore it");
    expect(readdirSync(folder).sort()).toEqual(["queue", "queue.lock"]);
    expect(readFileSync(snapshot).equals(file)).toBe(true);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("a connection that is cut before the stream is open rejects initConn() with a class that says when", async () => {
  const beforeUpgrade = Bun.listen({
    hostname: "127.0.0.1",
    port: 0,
    socket: { data: (socket) => void socket.end() },
  });
  const headers = { "Sec-WebSocket-Protocol": "tinymq.v1" };
  const behindUpgrade = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch: (request, server) => void server.upgrade(request, { headers, data: undefined }),
    websocket: { open: (socket) => socket.terminate(), message() {} },
  });
  // Port 1 is nobody's.
  for (const [port, name] of [
    [1, "ConnectionRefusedError"],
    [beforeUpgrade.port, "ConnectionRefusedError"],
    [behindUpgrade.port!, "InitFailed"],
  ] as const) {
    const producer = new Producer("127.0.0.1", port, "t");
    const error = await producer.initConn().catch((thrown) => thrown);
    expect({ name: error.name, code: error.code }).toEqual({ name, code: "UNAVAILABLE" });
    await producer.close();
  }
  beforeUpgrade.stop(true);
  await behindUpgrade.stop(true);
});

test("delayed messages that are due come although memory is full", async () => {
  await using server = await startServer({ maxMemory: "1MiB" });
  const producer = await ProduceStream.open(server, "t");
  const body = 20_000;
  const delayed = 10;
  for (let id = 0; id < delayed; id++)
    expect((await producer.produce([message(id, body)], 1_000)).oneofKind).toBe("acked");
  for (let id = 100; (await producer.produce([message(id, body)])).oneofKind === "acked"; id++);
  server.clock.advance(1_000);
  const ids = (await (await ConsumeStream.open(server, "t")).pullAll()).map(({ id }) => id);
  expect(ids.slice(-delayed)).toEqual(Array.from({ length: delayed }, (_, id) => id));
});

/** A clock whose time of day somebody sets. */
class SetClock extends FakeClock {
  setBy = 0;

  override wall(): number {
    return super.wall() + this.setBy;
  }
}

test("setting the machine's clock changes no delay, no time to live, and no heartbeat", async () => {
  for (const setBy of [-24 * HOUR, 24 * HOUR]) {
    const clock = new SetClock();
    await using server = await startServer({}, clock);
    const producer = await ProduceStream.open(server, "t");
    await producer.produce([message(1)], 10_000);
    const short = Batch.toBinary({ messages: [message(2)] });
    const batch = { seq: 2, delayMs: 0, ttlMs: 10_000, uniqueMs: 0, messages: short };
    await producer.send({ oneofKind: "batch", batch }).next();
    const consumer = await ConsumeStream.open(server, "t");
    clock.setBy = setBy;
    clock.advance(9_999);
    const topic = () => server.admin("GetTopic", { topic: "t" });
    expect(await topic()).toMatchObject({ ready: "1", delayed: "1", counters: { expired: "0" } });
    clock.advance(1);
    expect(await topic()).toMatchObject({ ready: "1", delayed: "0", counters: { expired: "1" } });
    expect((await consumer.pullAll()).map(({ id }) => id)).toEqual([1]);
    // Of the pull, 10 s after the opening: nothing is missed for 45 s from then on.
    clock.advance(44_999);
    expect(consumer.wire.closed).toBeNull();
    clock.advance(1);
    expect((await consumer.wire.end()).code).toBe(4014);
  }
});

test("setting the machine's clock while no server runs moves delays, times to live and holds by as much", async () => {
  const folder = mkdtempSync(join(tmpdir(), "tinymq-promises-"));
  try {
    // How far it is set, and of what was to come in an hour, when it comes.
    for (const [setBy, comesIn] of [
      [0, HOUR],
      [HOUR / 4, (3 * HOUR) / 4],
      [-HOUR / 4, (5 * HOUR) / 4],
      [2 * HOUR, 0],
    ] as const) {
      const snapshot = join(folder, `set by ${setBy}`);
      const clock = new SetClock();
      // The first server has run for a while: its monotonic clock shows more than that of the next one.
      clock.advance(5 * HOUR);
      const before = await startServer({ snapshot }, clock);
      await (await ProduceStream.open(before, "delayed")).produce([message(1)], HOUR);
      const batch = {
        seq: 1,
        delayMs: 0,
        ttlMs: HOUR,
        uniqueMs: 0,
        messages: Batch.toBinary({ messages: [message(2)] }),
      };
      await (await ProduceStream.open(before, "mortal")).send({ oneofKind: "batch", batch }).next();
      await (await ProduceStream.open(before, "held")).produce([message(3)]);
      const holder = await ConsumeStream.open(before, "held");
      await holder.pull(1);
      await holder.send({ oneofKind: "rewind", rewind: { position: 0, reason: "", delayMs: HOUR } }).next();
      const stoppedAt = clock.wall();
      await before.stop();

      const later = new SetClock();
      later.setBy = stoppedAt - later.wall() + setBy;
      await using after = await startServer({ snapshot }, later);
      const state = async () => {
        const [delayed, mortal, held] = await Promise.all(
          ["delayed", "mortal", "held"].map((topic) => after.admin("GetTopic", { topic })),
        );
        return { delayed: delayed?.delayed, mortal: mortal?.ready, held: held?.heldMs };
      };
      if (comesIn > 0) {
        expect(await state()).toEqual({ delayed: "1", mortal: "1", held: String(comesIn) });
        later.advance(comesIn - 1);
        expect(await state()).toEqual({ delayed: "1", mortal: "1", held: "1" });
        later.advance(1);
      } else {
        later.advance(0);
      }
      expect(await state()).toEqual({ delayed: "0", mortal: "0", held: "0" });
      expect(await (await ConsumeStream.open(after, "mortal")).pull()).toBeNull();
      for (const [topic, id] of [
        ["delayed", 1],
        ["held", 3],
      ] as const)
        expect((await (await ConsumeStream.open(after, topic)).pullAll()).map((each) => each.id)).toEqual([
          id,
        ]);
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
});
