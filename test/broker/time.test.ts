/** What time does: heartbeats, delays, times to live, and topics that nobody uses. */
import { expect, test } from "bun:test";
import { ConnInit, Poll } from "../../src/gen/tinymq/v0/message.ts";
import { message, TestConsumer, TestProducer, TestSubscriber } from "../support/clients.ts";
import { PRICES } from "../support/memory-count.ts";
import { World } from "../support/world.ts";

const HEARTBEAT = { oneofKind: "heartbeat", heartbeat: {} } as const;

test("a silent consumer is given up after 45 s, and the standby takes its place", () => {
  const world = new World();
  const producer = new TestProducer(world, "t");
  producer.send([message(1, "a")]);
  const holder = new TestConsumer(world, "t", "exclusive", 1);
  const standby = new TestConsumer(world, "t", "standby", 2);
  holder.fetch();
  standby.pull({ wait: 100_000 });
  for (let second = 0; second < 44; second++) {
    world.clock.advance(1_000);
    standby.request(HEARTBEAT);
  }
  world.clock.advance(999);
  expect(holder.closed).toBeNull();
  expect(holder.take().map((kind) => kind.oneofKind)).toEqual(["heartbeat", "heartbeat"]);
  world.clock.advance(1);
  expect(holder.closed?.code).toBe(4014);
  expect(holder.link.socket.terminated).toBe(true);
  expect(standby.bodies()).toEqual(["a*"]);
});

test("any frame keeps a stream, and the server sends heartbeats only where it sent nothing else", () => {
  const world = new World();
  const producer = new TestProducer(world, "t");
  for (let round = 0; round < 10; round++) {
    world.clock.advance(14_000);
    producer.send([message(round, "a")]);
  }
  expect(producer.take().map((kind) => kind.oneofKind)).toEqual(["opened", ...Array(10).fill("acked")]);
  world.clock.advance(15_000);
  expect(producer.take().map((kind) => kind.oneofKind)).toEqual(["heartbeat"]);
});

test("a consumer of the first version is given up after 40 s of silence", () => {
  const world = new World();
  const link = world.connectFirstVersion();
  link.receive(ConnInit.toBinary({ role: 2, topic: "t" }));
  world.clock.advance(16_000);
  expect(link.socket.pings).toBeGreaterThan(0);
  link.session.pong();
  world.clock.advance(39_999);
  expect(link.socket.closed).toBeNull();
  world.clock.advance(1);
  expect(link.socket.closed?.code).toBe(4014);
});

test("delayed messages come in due order, those due together as they were sent, and never before", () => {
  const world = new World();
  const producer = new TestProducer(world, "t");
  producer.send([message(1, "late")], { delayMs: 3_000 });
  producer.send([message(2, "b"), message(3, "c")], { delayMs: 2_000 });
  producer.send([message(4, "d")], { delayMs: 2_000 });
  producer.send([message(5, "now")]);
  const consumer = new TestConsumer(world, "t");
  expect(consumer.fetch()).toEqual(["now"]);
  consumer.pull({ wait: 10_000 });
  world.clock.advance(1_999);
  expect(consumer.bodies()).toEqual([]);
  world.clock.advance(1);
  expect(consumer.bodies()).toEqual(["b", "c"]);
  expect(consumer.fetch({ wait: 10_000 })).toEqual(["d"]);
  consumer.pull({ wait: 10_000 });
  world.clock.advance(1_000);
  expect(consumer.bodies()).toEqual(["late"]);
});

test("an expired message is never delivered, though its timer is late", () => {
  const world = new World();
  const producer = new TestProducer(world, "t");
  producer.send([message(1, "short")], { ttlMs: 1_000 });
  producer.send([message(2, "long")], { ttlMs: 60_000 });
  const consumer = new TestConsumer(world, "t");
  world.clock.advance(1_000);
  expect(consumer.fetch()).toEqual(["long"]);
  expect(world.broker.shared.counters.expired).toBe(1);
});

test("a leased message does not expire; given back late, it does", () => {
  const world = new World();
  const producer = new TestProducer(world, "t");
  producer.send(
    [1, 2, 3].map((id) => message(id, String(id))),
    { ttlMs: 1_000 },
  );
  const consumer = new TestConsumer(world, "t");
  consumer.fetch();
  world.clock.advance(2_000);
  expect(world.broker.topics.get("t")?.backlog.leased).toBe(3);
  consumer.settle({ position: 0, count: 1, outcome: 0 });
  consumer.link.end(1006);
  expect(world.broker.shared.counters).toMatchObject({ acked: 1, expired: 2 });
  expect(world.broker.topics.get("t")?.backlog.log.count).toBe(0);
});

test("messages with a time to live charge nothing when they are gone", () => {
  const world = new World();
  const producer = new TestProducer(world, "t");
  producer.send([message(1, "a")], { ttlMs: 5_000 });
  const consumer = new TestConsumer(world, "t");
  consumer.fetch();
  consumer.ack(1);
  world.clock.advance(5_000);
  expect(world.broker.memoryUsed).toBe(PRICES.topic);
});

test("ids charge nothing when they are forgotten, whatever their times were", () => {
  const world = new World();
  const producer = new TestProducer(world, "t");
  producer.send([message(1, "a")], { uniqueMs: 4_000, ttlMs: 10 });
  producer.send([message(2, "a")], { uniqueMs: 2_000, ttlMs: 10 });
  world.clock.advance(6_000);
  expect(world.broker.shared.remembered.uniqueIds).toBe(0);
  expect(world.broker.memoryUsed).toBe(PRICES.topic);
});

test("a topic goes when it was empty and unused for five minutes", () => {
  const world = new World();
  const producer = new TestProducer(world, "t");
  producer.send([message(1, "a")]);
  producer.leave();
  world.clock.advance(600_000);
  expect(world.broker.topics.size).toBe(1);
  const consumer = new TestConsumer(world, "t");
  consumer.fetch();
  consumer.ack(1);
  consumer.leave();
  world.clock.advance(299_999);
  const subscriber = new TestSubscriber(world, "t");
  subscriber.leave();
  world.clock.advance(299_999);
  expect(world.broker.topics.size).toBe(1);
  world.clock.advance(1);
  expect(world.broker.topics.size).toBe(0);
  expect(world.broker.timers.waiting).toBe(0);
});

test("a topic goes though it only ever held delayed messages that expired", () => {
  const world = new World();
  const producer = new TestProducer(world, "t");
  producer.send([message(1, "a")], { delayMs: 5_000, ttlMs: 1_000 });
  producer.leave();
  world.clock.advance(400_000);
  expect(world.broker.shared.counters.expired).toBe(1);
  expect(world.broker.topics.size).toBe(0);
});

test("a topic goes though it only ever held delayed messages that were purged", () => {
  const world = new World();
  const producer = new TestProducer(world, "t");
  producer.send([message(1, "a")], { delayMs: 5_000 });
  producer.leave();
  expect(world.broker.topics.get("t")?.purge()).toBe(1);
  expect(world.broker.memoryUsed).toBe(PRICES.topic);
  world.clock.advance(300_000);
  expect([world.broker.topics.size, world.broker.memoryUsed]).toEqual([0, 0]);
});

test("a topic that a refused consumer named goes too", () => {
  const world = new World();
  const link = world.connect("Consume");
  link.receive(Uint8Array.of(1, 2, 3));
  new TestConsumer(world, "t").link.end(1006);
  const v0 = world.connectFirstVersion("/other");
  v0.receive(ConnInit.toBinary({ role: 2, topic: "" }));
  v0.receive(Poll.toBinary({ topic: "other" }));
  v0.end(1000);
  expect([...world.broker.topics.keys()]).toEqual(["t", "other"]);
  world.clock.advance(300_000);
  expect(world.broker.topics.size).toBe(0);
});

test("delayed messages are bounded by the memory of all", () => {
  const world = new World({ maxMemory: 64 * 1024 });
  const producer = new TestProducer(world, "t");
  for (let batch = 0; batch < 100; batch++)
    producer.send([message(1, "x".repeat(5_000))], { delayMs: 60_000 });
  expect(world.broker.shared.counters.rejected).toBeGreaterThan(80);
  expect(world.broker.memoryUsed).toBeLessThanOrEqual(64 * 1024);
});
