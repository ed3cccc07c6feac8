/** Full memory: who is refused, what is dropped, and that nothing is held for long that nobody needs. */
import { expect, test } from "bun:test";
import { Outcome } from "../../src/gen/tinymq/v1/queue.ts";
import { message, TestConsumer, TestProducer, TestSubscriber } from "../support/clients.ts";
import { World } from "../support/world.ts";

const KiB = 1024;
const body = (id: number, length = 1_000) => message(id, `${id} `.padEnd(length, "x"));
const idsOf = (bodies: string[]) => bodies.map((text) => Number.parseInt(text, 10));

test("drop-oldest drops the oldest that nobody holds, and never what a consumer holds", () => {
  const world = new World({ maxMemory: 1024 * KiB, overflow: "drop-oldest" });
  const producer = new TestProducer(world, "t");
  for (let id = 0; id < 10; id++) producer.send([body(id)]);
  const consumer = new TestConsumer(world, "t", "shared");
  consumer.take();
  expect(idsOf(consumer.fetch({ max: 5 }))).toEqual([0, 1, 2, 3, 4]);
  // One goes back at once, one later: both are older than what nobody has seen yet.
  consumer.retry(1);
  consumer.retry(3, 1, 60_000);
  for (let id = 10; id < 3_000; id++) producer.send([body(id)]);
  expect(producer.take().every(({ oneofKind }) => oneofKind !== "rejected")).toBe(true);
  expect(world.broker.memoryUsed).toBeLessThanOrEqual(1024 * KiB + 1_000);
  const topic = world.broker.topics.get("t")!;
  expect(topic.backlog.leased).toBe(3);
  consumer.settle({ position: 0, count: 5, outcome: Outcome.RETRY });
  const left: number[] = [];
  for (let some = consumer.fetch(); some.length > 0; some = consumer.fetch()) left.push(...idsOf(some));
  expect(left.slice(0, 3)).toEqual([0, 2, 4]);
  // The rest is the newest, without a gap.
  expect(left.slice(3)).toEqual(
    Array.from({ length: left.length - 3 }, (_, index) => 3_003 - left.length + index),
  );
  expect(topic.tally.counters.dropped).toBe(3_000 - left.length);
  // A slab or two went, not all.
  expect(left.length).toBeGreaterThan(400);
});

test("drop-oldest makes room in little memory too, though a consumer holds a message", () => {
  const world = new World({ maxMemory: 64 * KiB, overflow: "drop-oldest" });
  const producer = new TestProducer(world, "t");
  for (let id = 0; id < 10; id++) producer.send([body(id)]);
  const consumer = new TestConsumer(world, "t");
  consumer.fetch({ max: 1 });
  for (let id = 10; id < 300; id++) producer.send([body(id)]);
  expect(world.broker.shared.counters.rejected).toBe(0);
  expect(world.broker.memoryUsed).toBeLessThanOrEqual(64 * KiB + 1_000);
  consumer.link.end(1006);
  const next = new TestConsumer(world, "t");
  expect(idsOf(next.fetch({ max: 1 }))).toEqual([0]);
});

test("drop-oldest drops from a topic as soon as something of it is free again", () => {
  const world = new World({ maxMemory: 64 * KiB, overflow: "drop-oldest" });
  const unread = new TestProducer(world, "unread");
  for (let id = 0; id < 25; id++) unread.send([body(id)]);
  const consumer = new TestConsumer(world, "unread");
  expect(consumer.fetch()).toHaveLength(25);
  const producer = new TestProducer(world, "t");
  for (let id = 0; id < 60; id++) producer.send([body(id, 100)]);
  const large = () => producer.send([body(1, 30_000)]);
  large();
  expect(world.broker.shared.counters).toMatchObject({ rejected: 1, dropped: 60 });
  consumer.link.end(1006);
  large();
  expect(world.broker.shared.counters.rejected).toBe(1);
  expect(world.broker.topics.get("unread")!.tally.counters.dropped).toBeGreaterThan(0);
});

test("drop-oldest rejects when consumers hold all", () => {
  const world = new World({ maxMemory: 32 * KiB, overflow: "drop-oldest" });
  const producer = new TestProducer(world, "t");
  const consumer = new TestConsumer(world, "t");
  for (let id = 0; id < 40; id++) {
    producer.send([body(id)]);
    consumer.fetch();
  }
  const { rejected, dropped } = world.broker.shared.counters;
  expect([rejected > 0, dropped]).toEqual([true, 0]);
  expect(world.broker.topics.get("t")?.backlog.leased).toBe(40 - rejected);
});

test("drop-oldest drops nothing for a batch that finds no room whatever is dropped", () => {
  const world = new World({ maxMemory: 32 * KiB, overflow: "drop-oldest" });
  const producer = new TestProducer(world, "t");
  producer.send([body(1), body(2)]);
  producer.send([body(3, 60_000)]);
  expect(producer.take().at(-1)?.oneofKind).toBe("rejected");
  expect(world.broker.shared.counters.dropped).toBe(0);
  expect(idsOf(new TestConsumer(world, "t").fetch())).toEqual([1, 2]);
});

test("expired messages go before anything is rejected", () => {
  const world = new World({ maxMemory: 32 * KiB });
  const producer = new TestProducer(world, "t");
  for (let id = 0; id < 14; id++) producer.send([body(id)], { ttlMs: 1_000 });
  world.clock.advance(1_000);
  for (let id = 20; id < 34; id++) producer.send([body(id)]);
  expect(world.broker.shared.counters).toMatchObject({ expired: 14, rejected: 0 });
});

test("consumers keep draining a full server, and then there is room again", () => {
  const world = new World({ maxMemory: 32 * KiB });
  const producer = new TestProducer(world, "t");
  for (let id = 0; id < 60; id++) producer.send([body(id)]);
  const stored = world.broker.shared.counters.produced;
  expect(world.broker.shared.counters.rejected).toBe(60 - stored);
  const consumer = new TestConsumer(world, "t");
  expect(consumer.fetch()).toHaveLength(stored);
  consumer.ack(stored);
  producer.send([body(99)]);
  expect(idsOf(consumer.fetch())).toEqual([99]);
});

test("the memory of one topic is bounded by itself", () => {
  const world = new World({ maxTopicMemory: 16 * KiB });
  const full = new TestProducer(world, "full");
  for (let id = 0; id < 30; id++) full.send([body(id)]);
  expect(world.broker.shared.counters.rejected).toBeGreaterThan(0);
  expect(world.broker.topics.get("full")?.memory).toBeLessThanOrEqual(16 * KiB);
  const rejected = full.take().find((kind) => kind.oneofKind === "rejected");
  if (rejected?.oneofKind !== "rejected") throw new Error("nothing was rejected");
  expect(rejected.rejected.message).toContain('topic "full" is full');
  const other = new TestProducer(world, "other");
  other.send([body(1)]);
  expect(other.take().at(-1)?.oneofKind).toBe("acked");
});

test("messages that a consumer holds for long do not keep the memory of those that flow past them", () => {
  const world = new World();
  const producer = new TestProducer(world, "t");
  const holder = new TestConsumer(world, "t", "shared");
  const worker = new TestConsumer(world, "t", "shared");
  const held: number[] = [];
  let delivered = 0;
  holder.take();
  for (let round = 0; round < 300; round++) {
    producer.send(Array.from({ length: 20 }, (_, index) => body(round * 20 + index)));
    if (round % 100 === 50) held.push(...idsOf(holder.fetch({ max: 1 })));
    delivered += worker.fetch().length;
    worker.ack(delivered);
  }
  expect(world.broker.shared.counters.acked).toBe(300 * 20 - 3);
  expect(world.broker.memoryUsed).toBeLessThan(2.5 * 256 * KiB);
  holder.link.end(1006);
  expect(idsOf(worker.fetch())).toEqual(held);
});

test("consumers who do not read are closed, the fullest first", () => {
  const world = new World({ maxMemory: 64 * KiB });
  const readers = [new TestConsumer(world, "a", "shared"), new TestConsumer(world, "b", "shared")];
  for (const { link } of readers) link.socket.state = "slow";
  const producers = [new TestProducer(world, "a"), new TestProducer(world, "b")];
  for (const reader of readers) for (let pull = 0; pull < 3; pull++) reader.pull({ wait: 1_000 });
  producers[0]!.send([body(1, 12_000)]);
  expect(readers[0]!.closed).toBeNull();
  producers[1]!.send([body(2, 6_000)]);
  expect(readers.map(({ closed }) => closed?.code)).toEqual([4008, undefined]);
  world.checkMemory();
  // What the first was sent is given back.
  expect(world.broker.topics.get("a")?.ready).toBe(1);
  expect(new TestSubscriber(world, "a").closed).toBeNull();
});
