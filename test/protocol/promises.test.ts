/** What docs/guarantees.md promises and no other test shows. */
import { expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Batch, ConsumeMode } from "../../src/gen/tinymq/v1/queue.ts";
import { FakeClock } from "../support/fake-clock.ts";
import { ConsumeStream, message, ProduceStream } from "./streams.ts";
import { startServer, until } from "./support.ts";

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
