/** Full memory: what is stored of a batch, whose messages are dropped, and that topics count. */
import { expect, test } from "bun:test";
import { UniqueIds } from "../../src/broker/inbound/unique.ts";
import { ConnInit } from "../../src/gen/tinymq/v0/message.ts";
import {
  message,
  type ProduceEvent,
  TestConsumer,
  TestProducer,
  TestSubscriber,
} from "../support/clients.ts";
import { PRICES } from "../support/memory-count.ts";
import { World } from "../support/world.ts";

const KiB = 1024;
const EXHAUSTED = 4008;
const sized = (id: number, length: number) => message(id, `${id} `.padEnd(length, "x"));
const idsOf = (bodies: string[]) => bodies.map((text) => Number.parseInt(text, 10));

function rejections(events: ProduceEvent[]): [seq: number, ranges: [number, number][]][] {
  return events.flatMap((kind) => {
    if (kind.oneofKind !== "rejected") return [];
    const { seq, messages } = kind.rejected;
    return [[seq, messages.map(({ first, count }): [number, number] => [first, count])]];
  });
}

function allOf(world: World, topic: string): number[] {
  const consumer = new TestConsumer(world, topic);
  const ids: number[] = [];
  for (let some = consumer.fetch(); some.length > 0; some = consumer.fetch()) ids.push(...idsOf(some));
  return ids;
}

test("of a batch that does not fit each message that does is stored, in order, and the others are named", () => {
  const world = new World({ maxMemory: 80 * KiB });
  const producer = new TestProducer(world, "t", 1);
  const lengths = [1_000, 40_000, 1_000, 40_000, 40_000, 1_000];
  const batch = lengths.map((length, id) => sized(id, length));
  producer.send(batch);
  const answer = rejections(producer.take());
  expect(answer).toEqual([[1, [[3, 2]]]]);
  expect(world.broker.memoryUsed).toBeLessThanOrEqual(80 * KiB);
  expect(world.broker.shared.counters).toMatchObject({ produced: 4, rejected: 2 });
  // Sent again it is answered the same way, also over another connection, and stored once.
  producer.send(batch, {}, 1);
  producer.link.end(1006);
  world.broker.limits.maxMemory = 1_024 * KiB;
  const again = new TestProducer(world, "t", 1, 1);
  again.send(batch);
  expect([rejections(producer.take()), rejections(again.take())]).toEqual([answer, answer]);
  expect(allOf(world, "t")).toEqual([0, 1, 2, 5]);
});

test("a batch of which nothing fits names no messages, and one that fits whole is not rejected", () => {
  const world = new World({ maxMemory: 32 * KiB });
  const producer = new TestProducer(world, "t");
  producer.send([sized(1, 12_000)]);
  producer.send([sized(2, 6_000), sized(3, 6_000)]);
  expect(rejections(producer.take())).toEqual([[2, []]]);
  producer.send([sized(4, 100), sized(5, 6_000), sized(6, 100)]);
  expect(rejections(producer.take())).toEqual([[3, [[1, 1]]]]);
  expect(allOf(world, "t")).toEqual([1, 4, 6]);
});

test("of a delayed batch, and of one with unique ids, what fits is stored as well", () => {
  const world = new World({ maxMemory: 24 * KiB });
  const producer = new TestProducer(world, "t");
  producer.send(
    [1, 2, 3].map((id) => sized(id, 7_000)),
    { delayMs: 1_000, uniqueMs: 60_000 },
  );
  expect(rejections(producer.take())).toEqual([[1, [[2, 1]]]]);
  world.checkMemory();
  world.broker.limits.maxMemory = 64 * KiB;
  producer.send(
    [2, 3].map((id) => sized(id, 10)),
    { uniqueMs: 60_000 },
  );
  // 3 was not stored before: it is no duplicate.
  expect(world.broker.shared.counters).toMatchObject({ produced: 3, duplicates: 1 });
  world.clock.advance(1_000);
  expect(allOf(world, "t")).toEqual([3, 1, 2]);
});

test("of a batch with unique ids that does not fit, those taken before are answered as duplicates", () => {
  const world = new World({ maxMemory: 32 * KiB });
  const producer = new TestProducer(world, "t");
  const options = { uniqueMs: 60_000 };
  producer.send([sized(1, 1_000)], options);
  while (world.broker.shared.counters.rejected === 0) producer.send([sized(9, 100)]);
  producer.take();
  producer.send([sized(1, 1_000), sized(2, 1_000), sized(1, 1_000), sized(2, 1_000)], options);
  expect(rejections(producer.take()).map(([, ranges]) => ranges)).toEqual([
    [
      [1, 1],
      [3, 1],
    ],
  ]);
  expect(world.broker.shared.counters.duplicates).toBe(2);
});

test("where no more ids can be remembered, a batch of 8,192 new ones is refused at one look at them", () => {
  const world = new World({ maxUniqueIds: 100 });
  const producer = new TestProducer(world, "t");
  const options = { uniqueMs: 60_000 };
  const batch = (first: number, count: number) =>
    Array.from({ length: count }, (_, index) => message(first + index, ""));
  producer.send(batch(0, 100), options);
  producer.take();
  let filtered = 0;
  const { filter } = UniqueIds.prototype;
  UniqueIds.prototype.filter = function (...of) {
    filtered += 1;
    return filter.apply(this, of);
  };
  try {
    producer.send(batch(100, 8_192), options);
    expect(rejections(producer.take())).toEqual([[2, []]]);
    expect(filtered).toBe(1);
    producer.send([...batch(99, 2), ...batch(0, 1)], options);
    expect(rejections(producer.take())).toEqual([[3, [[1, 1]]]]);
  } finally {
    UniqueIds.prototype.filter = filter;
  }
});

test.each([
  [30, 75, 85],
  [100, 90, 93],
  [50_000, 90, 95],
  [66_000, 73, 76],
  [132_000, 48, 52],
  [600_000, 90, 95],
])("bodies of %i bytes fill from %i to %i percent of the memory", (size, least, most) => {
  const world = new World({ maxMemory: 16 * KiB * KiB });
  const producer = new TestProducer(world, "t", 1);
  const batch = Array.from({ length: Math.max(1, Math.floor(200_000 / size)) }, () => sized(1, size));
  while (rejections(producer.take()).length === 0) producer.send(batch);
  const bodies = world.broker.requireTopic("t").ready * size;
  const share = (100 * bodies) / (16 * KiB * KiB);
  expect(share).toBeWithin(least, most);
});

test("drop-oldest drops from the topic that holds most, dead letters too, whoever sends", () => {
  const world = new World({ maxMemory: 1_024 * KiB, overflow: "drop-oldest" });
  const unread = new TestProducer(world, "unread");
  for (let id = 0; id < 300; id++) unread.send([sized(id, 1_000)]);
  const consumer = new TestConsumer(world, "unread");
  for (let held = 0; held < 300; held += 100) {
    consumer.fetch({ max: 100 });
    consumer.reject(held, 100);
  }
  for (let id = 300; id < 500; id++) unread.send([sized(id, 1_000)]);
  const healthy = new TestProducer(world, "healthy");
  for (let id = 0; id < 100; id++) healthy.send([sized(id, 1_000)]);
  for (let id = 500; id < 3_000; id++) unread.send([sized(id, 1_000)]);
  const dropped = (name: string) => world.broker.topics.get(name)!.tally.counters.dropped;
  expect(world.broker.shared.counters.rejected).toBe(0);
  expect(dropped("healthy")).toBe(0);
  expect(dropped("unread")).toBeGreaterThan(1_000);
  // Dead letters are dropped while they are the most, and then no more: each topic keeps about its share.
  const share = (1_024 * KiB) / 3;
  expect(world.broker.topics.get("unread.dead")!.memory).toBeLessThan(1.5 * share);
  expect(allOf(world, "healthy")).toHaveLength(100);
});

test("a topic that was read meanwhile loses no more: the next that holds most does", () => {
  const world = new World({ maxMemory: 4_096 * KiB, overflow: "drop-oldest" });
  const [first, second] = [new TestProducer(world, "first"), new TestProducer(world, "second")];
  const dropped = (name: string) => world.broker.topics.get(name)!.tally.counters.dropped;
  for (let id = 0; id < 1_500; id++) second.send([sized(id, 1_000)]);
  for (let id = 0; dropped("first") === 0; id++) first.send([sized(id, 1_000)]);
  const consumer = new TestConsumer(world, "first");
  const topic = world.broker.topics.get("first")!;
  for (let acked = 0; topic.ready > 5; consumer.ack(acked))
    acked += consumer.fetch({ max: topic.ready - 5, bytes: 512 * KiB }).length;
  const before = dropped("first");
  for (let id = 1_500; id < 6_000; id++) second.send([sized(id, 1_000)]);
  expect([dropped("first"), dropped("second") > 0]).toEqual([before, true]);
  expect(consumer.fetch()).toHaveLength(5);
});

test("what is dropped is the oldest of the topic that holds most, and as little as is needed", () => {
  const world = new World({ maxMemory: 512 * KiB, overflow: "drop-oldest" });
  const large = new TestProducer(world, "large");
  for (let id = 0; id < 100; id++) large.send([sized(id, 3_000)]);
  const small = new TestProducer(world, "small");
  for (let id = 0; id < 250; id++) small.send([sized(id, 1_000)]);
  expect(world.broker.shared.counters.rejected).toBe(0);
  const left = allOf(world, "large");
  expect(left).toEqual(Array.from({ length: left.length }, (_, index) => 100 - left.length + index));
  expect(allOf(world, "small")).toHaveLength(250);
  // A slab's worth and not all.
  expect(left.length).toBeGreaterThan(5);
});

test("the limit of one topic is kept by its own messages alone", () => {
  const world = new World({ maxTopicMemory: 100 * KiB, overflow: "drop-oldest" });
  const large = new TestProducer(world, "large");
  for (let id = 0; id < 50; id++) large.send([sized(id, 1_000)]);
  const other = new TestProducer(world, "other");
  for (let id = 0; id < 500; id++) other.send([sized(id, 1_000)]);
  expect(world.broker.shared.counters.rejected).toBe(0);
  expect(world.broker.topics.get("other")!.memory).toBeLessThanOrEqual(100 * KiB);
  expect(allOf(world, "large")).toHaveLength(50);
  expect(allOf(world, "other").at(-1)).toBe(499);
});

test("topics are charged, and refused where there is no room; those that are there may be used", () => {
  const world = new World({ maxMemory: 10 * PRICES.topic });
  const consumers = Array.from({ length: 10 }, (_, index) => new TestConsumer(world, `t${index}`));
  expect(consumers.every(({ closed }) => closed === null)).toBe(true);
  expect(world.broker.memoryUsed).toBe(10 * PRICES.topic);
  const old = world.connectFirstVersion("/more");
  old.receive(ConnInit.toBinary({ role: 1, topic: "more" }));
  const refused = [
    new TestProducer(world, "more").closed,
    new TestConsumer(world, "more").closed,
    new TestSubscriber(world, "more").closed,
    old.socket.closed,
  ];
  expect(refused.map((closed) => closed?.code)).toEqual(Array(4).fill(EXHAUSTED));
  expect(refused[0]?.reason).toContain('there is no room for topic "more"');
  expect(new TestProducer(world, "t3").closed).toBeNull();
  consumers[0]!.leave();
  world.clock.advance(300_000);
  expect(new TestProducer(world, "more").closed).toBeNull();
});

test("drop-oldest makes room for a topic, too, and what has expired makes room for one in any case", () => {
  for (const overflow of ["drop-oldest", "reject"] as const) {
    // The topic, 16 KiB of messages, and less than another topic.
    const maxMemory = 19.5 * KiB;
    const world = new World({ maxMemory, overflow });
    const producer = new TestProducer(world, "t");
    const options = overflow === "reject" ? { ttlMs: 1_000 } : {};
    const fills = () => world.broker.memoryUsed + PRICES.topic > maxMemory;
    for (let id = 0; id < 500 && !fills(); id++) producer.send([sized(id, 100)], options);
    expect(fills()).toBe(true);
    expect(world.broker.shared.counters.dropped).toBe(0);
    // Time passes, and no timer runs yet.
    world.clock.skip(1_000);
    expect(new TestProducer(world, "more").closed).toBeNull();
    expect(world.broker.memoryUsed).toBeLessThanOrEqual(maxMemory);
  }
});

test("the time that passes while a batch is taken changes nothing: what is stored of it is not said to be refused", () => {
  for (let looks = 1; looks <= 12; looks++) {
    const world = new World({ maxMemory: 32 * KiB });
    const producer = new TestProducer(world, "t", 1);
    producer.send([sized(1, 5_000)], { uniqueMs: 1_000 });
    const { counters } = world.broker.shared;
    for (let id = 100; counters.rejected === 0; id++) producer.send([sized(id, 3_000)]);
    world.clock.skip(1_000 - looks);
    const before = counters.produced;
    producer.take();
    const now = world.clock.now.bind(world.clock);
    let ticks = 0;
    // The id runs out at one look or another.
    world.clock.now = () => now() + ticks++;
    producer.send([message(2, "n"), sized(1, 5_000), sized(4, 5_000)], { uniqueMs: 1_000 });
    const [answer] = rejections(producer.take());
    const refused = answer?.[1].reduce((sum, [, count]) => sum + count, 0);
    // The first fits; the second is known, or is refused with the third.
    expect({ looks, stored: counters.produced - before, refused: refused === 1 || refused === 2 }).toEqual({
      looks,
      stored: 1,
      refused: true,
    });
  }
});

test("ids that are known need no room, though a snapshot restored more than may be remembered", () => {
  const world = new World({ maxUniqueIds: 30 });
  const unique = { uniqueMs: 60_000 };
  new TestProducer(world, "t").send(
    Array.from({ length: 30 }, (_, id) => message(id, "")),
    unique,
  );
  world.broker.limits.maxUniqueIds = 5;
  world.restart();
  const producer = new TestProducer(world, "t", 1);
  producer.send([message(1, ""), message(2, "")], unique);
  producer.send([message(1, ""), message(2, ""), message(50, "")], unique);
  expect(producer.closed).toBeNull();
  expect(rejections(producer.take())).toEqual([[2, [[2, 1]]]]);
});
