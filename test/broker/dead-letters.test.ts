/** Dead letters: what they say, where they go, and that they wait for room without being lost. */
import { expect, test } from "bun:test";
import { redrive } from "../../src/broker/redrive.ts";
import { topicInfo } from "../../src/broker/stats.ts";
import { message, TestConsumer, TestProducer, unfold } from "../support/clients.ts";
import { PRICES } from "../support/memory-count.ts";
import { World } from "../support/world.ts";

const KiB = 1024;
const SECOND = 1_000;

/** A world whose memory is full: topic "t" has `count` messages, "other" the rest. */
function fullWorld(count: number, limits = {}): { world: World; stored: number; other: TestConsumer } {
  const world = new World({ maxMemory: 64 * KiB, ...limits });
  new TestConsumer(world, "t.dead");
  new TestProducer(world, "t").send(Array.from({ length: count }, (_, id) => message(id, `message ${id}`)));
  const filler = new TestProducer(world, "other");
  for (let size = 8_000; size > 10; size /= 2) {
    while (filler.take().every(({ oneofKind }) => oneofKind !== "rejected"))
      filler.send([message(1, "x".repeat(size))]);
  }
  return { world, stored: count, other: new TestConsumer(world, "other") };
}

function headersOf(consumer: TestConsumer): Record<string, string>[] {
  consumer.pull();
  const came = consumer.take().filter((kind) => kind.oneofKind === "delivered");
  return came.flatMap((kind) => unfold(kind).messages.map(({ message: { headers } }) => headers));
}

const deadLettered = (world: World) => world.broker.shared.counters.deadLettered;

test("rejected messages wait for room: held by nobody, delivered to nobody, tried again each second", () => {
  const { world, other } = fullWorld(20);
  const consumer = new TestConsumer(world, "t", "shared");
  expect(consumer.fetch()).toHaveLength(20);
  consumer.reject(0, 20, "no good ".repeat(100));
  const topic = world.broker.topics.get("t")!;
  const before = deadLettered(world);
  expect(before).toBeLessThan(20);
  expect(topicInfo(topic)).toMatchObject({ unacked: 20 - before, ready: 0 });
  expect(world.broker.memoryUsed).toBeLessThanOrEqual(64 * KiB);
  world.checkMemory();
  expect(consumer.fetch()).toEqual([]);
  consumer.link.end(1006);
  const next = new TestConsumer(world, "t", "shared");
  next.pull({ wait: 20 * SECOND });
  world.clock.advance(10 * SECOND);
  expect([next.bodies(), deadLettered(world)]).toEqual([[], before]);
  other.fetch();
  other.ack(other.pulls === 0 ? 0 : 1);
  other.leave();
  world.broker.topics.get("other")!.purge();
  world.clock.advance(SECOND - 1);
  const nearly = deadLettered(world);
  world.clock.advance(1);
  expect([nearly, deadLettered(world)]).toEqual([before, 20]);
  expect(topicInfo(topic)).toMatchObject({ unacked: 0, ready: 0 });
  world.checkMemory();
});

test("those move for which there is room, the oldest first", () => {
  const { world } = fullWorld(20);
  const consumer = new TestConsumer(world, "t");
  consumer.fetch();
  world.broker.topics.get("other")!.dropOldest(1, 1);
  const room = 64 * KiB - world.broker.memoryUsed;
  expect(room).toBeGreaterThan(3 * KiB);
  consumer.reject(0, 20, "r".repeat(1_000));
  const moved = deadLettered(world);
  // Each grows by more than a kilobyte.
  expect(moved).toBeGreaterThan(0);
  expect(moved).toBeLessThan(room / KiB);
  expect(world.broker.memoryUsed).toBeLessThanOrEqual(64 * KiB);
  const dead = new TestConsumer(world, "t.dead", "shared");
  expect(dead.closed?.code).toBe(4009);
  world.broker.topics.get("other")!.purge();
  world.clock.advance(SECOND);
  expect(deadLettered(world)).toBe(20);
});

test("where all of the memory holds fewer dead letters than one turn moves, they go as there is room", () => {
  const world = new World({ maxMemory: 256 * KiB });
  const producer = new TestProducer(world, "t");
  producer.send(Array.from({ length: 2_000 }, (_, id) => message(id, "")));
  const consumer = new TestConsumer(world, "t");
  while (consumer.fetch().length > 0);
  consumer.reject(0, 2_000, "r".repeat(1_000));
  const dead = new TestConsumer(world, "t.dead");
  let came = 0;
  for (let second = 0; second < 40 && came < 2_000; second++) {
    for (let some = dead.fetch(); some.length > 0; some = dead.fetch()) {
      came += some.length;
      dead.ack(came);
    }
    expect(world.broker.memoryUsed).toBeLessThanOrEqual(256 * KiB);
    consumer.request({ oneofKind: "heartbeat", heartbeat: {} });
    world.clock.advance(SECOND);
  }
  expect(came).toBe(2_000);
});

test("dead letters wait where there may be no more topics", () => {
  const world = new World({ maxTopics: 2 });
  new TestProducer(world, "t").send([message(1, "bad")]);
  const other = new TestProducer(world, "other");
  const consumer = new TestConsumer(world, "t");
  consumer.fetch();
  consumer.reject(0, 1, "why");
  world.clock.advance(10 * SECOND);
  expect([deadLettered(world), [...world.broker.topics.keys()]]).toEqual([0, ["t", "other"]]);
  other.leave();
  world.clock.advance(20 * SECOND);
  consumer.request({ oneofKind: "heartbeat", heartbeat: {} });
  for (let minute = 0; minute < 10; minute++) {
    world.clock.advance(30 * SECOND);
    consumer.request({ oneofKind: "heartbeat", heartbeat: {} });
  }
  world.clock.advance(SECOND);
  expect([deadLettered(world), [...world.broker.topics.keys()]]).toEqual([1, ["t", "t.dead"]]);
});

test("what waits for room is kept by a snapshot, with its reason and its count", () => {
  const world = new World({ maxTopics: 1, maxDeliveries: 2 });
  new TestProducer(world, "t").send(["a", "b", "c", "d"].map((body, id) => message(id, body)));
  const consumer = new TestConsumer(world, "t");
  consumer.fetch();
  consumer.reject(1, 1, "no good");
  consumer.retry(2);
  consumer.fetch();
  consumer.settle({ position: 4, count: 1, outcome: 1, reason: "tired" });
  world.restart();
  world.clock.advance(SECOND);
  world.checkMemory();
  expect(topicInfo(world.broker.topics.get("t")!)).toMatchObject({ ready: 2, unacked: 2 });
  expect(new TestConsumer(world, "t").fetch()).toEqual(["a*", "d*"]);
  world.broker.limits.maxTopics = 2;
  world.clock.advance(SECOND);
  const letters = headersOf(new TestConsumer(world, "t.dead"));
  expect(
    letters.map((headers) => [headers["tinymq-dead-reason"], headers["tinymq-dead-deliveries"]]),
  ).toEqual([
    ["no good", "1"],
    ["max-deliveries: tired", "2"],
  ]);
});

test("a purge ends what waits for room, and its ids may come again", () => {
  const world = new World({ maxTopics: 1 });
  const producer = new TestProducer(world, "t");
  const options = { uniqueMs: 3_600_000 };
  producer.send([message(1, "a"), message(2, "b")], options);
  producer.send([message(3, "delayed")], { ...options, delayMs: 60_000 });
  producer.send([message(4, "held")], options);
  const consumer = new TestConsumer(world, "t", "shared");
  consumer.fetch();
  consumer.reject(0);
  consumer.retry(2, 1, 60_000);
  const topic = world.broker.topics.get("t")!;
  expect(topic.purge()).toBe(3);
  expect(topicInfo(topic)).toMatchObject({ ready: 0, unacked: 1, delayed: 0 });
  world.clock.advance(10 * SECOND);
  producer.send(
    [1, 2, 3, 4].map((id) => message(id, `${id} again`)),
    options,
  );
  // 2 is still being worked on: it was not dropped.
  expect(consumer.fetch()).toEqual(["1 again", "3 again", "4 again"]);
  expect(deadLettered(world)).toBe(0);
  world.checkMemory();
});

test("a program's own headers stay, though they begin as ours do; ours of an earlier death go", () => {
  const world = new World();
  const own = { "tinymq-dead-letter": "mine", "tinymq-dead-": "too", "tinymq-dead-reasons": "all", n: "1" };
  new TestProducer(world, "t").send([
    message(1, "a", { ...own, "tinymq-dead-reason": "old", "tinymq-dead-deliveries": "77" }),
  ]);
  const consumer = new TestConsumer(world, "t");
  consumer.fetch();
  consumer.reject(0, 1, "new");
  expect(headersOf(new TestConsumer(world, "t.dead"))).toEqual([
    {
      ...own,
      "tinymq-dead-topic": "t",
      "tinymq-dead-reason": "new",
      "tinymq-dead-time": new Date(world.clock.wall()).toISOString(),
      "tinymq-dead-deliveries": "1",
    },
  ]);
});

test("redrive takes either name, and gives back what was sent", async () => {
  const world = new World();
  const producer = new TestProducer(world, "t");
  const consumer = new TestConsumer(world, "t");
  producer.send([message(1, "a", { "tinymq-dead-letter": "mine" }), message(2, "b"), message(3, "c")]);
  consumer.fetch();
  consumer.reject(0, 3);
  expect(await redrive(world.broker, "t.dead", 1)).toBe(1);
  expect(await redrive(world.broker, "t", 1)).toBe(1);
  expect([...world.broker.topics.keys()]).toEqual(["t", "t.dead"]);
  expect(headersOf(consumer)).toEqual([{ "tinymq-dead-letter": "mine" }, {}]);
  expect(await redrive(world.broker, "none", 1).catch((error) => error.code)).toBe("NOT_FOUND");
});

test("redrive of a topic without dead letters moves none, whether their topic was removed or never made", async () => {
  const world = new World();
  new TestProducer(world, "t").send([message(1, "a")]);
  const codeOf = (name: string) => redrive(world.broker, name, 1).catch((error) => error.code);
  expect(await Promise.all(["t", "t.dead"].map(codeOf))).toEqual([0, 0]);
  const consumer = new TestConsumer(world, "t");
  consumer.fetch();
  consumer.reject(0, 1);
  expect(await codeOf("t")).toBe(1);
  world.clock.advance(301 * SECOND);
  expect([...world.broker.topics.keys()]).toEqual(["t"]);
  expect(await codeOf("t")).toBe(0);
  expect([...world.broker.topics.keys()]).toEqual(["t"]);
});

test("max-ttl holds for dead letters and for what is redriven", async () => {
  const world = new World({ maxTtlMs: 10 * SECOND });
  new TestProducer(world, "t").send([message(1, "a"), message(2, "b")]);
  const consumer = new TestConsumer(world, "t");
  consumer.fetch();
  world.clock.advance(5 * SECOND);
  consumer.reject(0, 2);
  world.clock.advance(6 * SECOND);
  expect(await redrive(world.broker, "t", 1)).toBe(1);
  world.clock.advance(4 * SECOND);
  const left = (name: string) => world.broker.topics.get(name)?.backlog.log.count;
  expect([left("t"), left("t.dead")]).toEqual([1, 0]);
  world.clock.advance(6 * SECOND);
  expect([left("t"), left("t.dead")]).toEqual([0, 0]);
  expect(world.broker.shared.counters.expired).toBe(2);
});

test("what is rejected in a dead-letter topic is gone, and counted", () => {
  const world = new World({ maxDeliveries: 1 });
  new TestProducer(world, "t.dead").send([message(1, "a"), message(2, "b")]);
  const consumer = new TestConsumer(world, "t.dead");
  consumer.fetch();
  consumer.reject(0);
  consumer.handed(2);
  consumer.link.end(1006);
  expect(world.broker.shared.counters).toMatchObject({ dropped: 1, deadLettered: 0 });
  expect(new TestConsumer(world, "t.dead").fetch()).toEqual(["b*"]);
  expect(world.broker.memoryUsed).toBe(
    PRICES.topic + PRICES.leased + world.broker.topics.get("t.dead")!.backlog.log.memory,
  );
});

test("a dead letter whose delivery ends a slow consumer of the topic is moved once, and so is what that one held", () => {
  const world = new World({ maxDeliveries: 1 }, 64 * KiB);
  const producer = new TestProducer(world, "t");
  for (let id = 0; id < 8; id++) producer.send([message(id, `${id} `.padEnd(10_000, "x"))]);
  const rejecting = new TestConsumer(world, "t", "shared");
  expect(rejecting.fetch({ max: 4, bytes: 45_000 })).toHaveLength(4);
  const slow = new TestConsumer(world, "t", "shared");
  slow.link.socket.state = "slow";
  slow.pull({ max: 4, bytes: 45_000 });
  slow.handed(4);
  const dead = new TestConsumer(world, "t.dead");
  dead.link.socket.state = "slow";
  for (let pull = 0; pull < 3; pull++) dead.pull({ max: 4, bytes: 35_000, wait: SECOND });
  rejecting.reject(0, 4, "no good");
  expect(slow.closed?.code).toBe(4008);
  dead.link.drain();
  world.clock.advance(0);
  const { backlog } = world.broker.topics.get("t.dead")!;
  expect([backlog.log.count, deadLettered(world)]).toEqual([8, 8]);
  const came = [...dead.bodies(), ...dead.fetch(), ...dead.fetch()].map((body) => Number.parseInt(body, 10));
  expect(came).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
});
