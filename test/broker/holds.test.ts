/** A rewind with a delay holds a topic back: the hold is its message's, and goes with it. */
import { expect, test } from "bun:test";
import { topicInfo } from "../../src/broker/stats.ts";
import { message, TestConsumer, TestProducer } from "../support/clients.ts";
import { World } from "../support/world.ts";

const HOUR = 3_600_000;

function worldWith(count: number, limits = {}): World {
  const world = new World(limits);
  const producer = new TestProducer(world, "t");
  for (let id = 0; id < count; id++)
    producer.send([message(id, String(id))], { ttlMs: id === 1 ? 40_000 : 0 });
  return world;
}

const heldMs = (world: World) => topicInfo(world.broker.topics.get("t")!).heldMs;

/** A consumer that took all and gave them back, holding the topic for an hour at the message of `position`. */
function holder(world: World, position: number): TestConsumer {
  const consumer = new TestConsumer(world, "t");
  consumer.fetch();
  consumer.rewind(position, HOUR);
  consumer.take();
  return consumer;
}

test("a held message holds what is behind it, and not what is before it", () => {
  const world = worldWith(4);
  const consumer = new TestConsumer(world, "t");
  consumer.fetch({ max: 3 });
  consumer.settle({ position: 0, count: 1, outcome: 1, delayMs: 1_000 });
  consumer.rewind(1, 5_000);
  consumer.take();
  expect(heldMs(world)).toBe(5_000);
  consumer.pull({ max: 1, wait: HOUR });
  world.clock.advance(1_000);
  // It became due, and stands before the one that is held.
  expect(consumer.bodies()).toEqual(["0*"]);
  expect(heldMs(world)).toBe(4_000);
  consumer.retry(3);
  expect(heldMs(world)).toBe(0);
  expect(consumer.fetch()).toEqual(["0*"]);
  consumer.pull({ wait: HOUR });
  world.clock.advance(3_999);
  expect(consumer.bodies()).toEqual([]);
  expect(heldMs(world)).toBe(1);
  world.clock.advance(1);
  expect(consumer.bodies()).toEqual(["1*", "2*", "3"]);
  expect(heldMs(world)).toBe(0);
});

test("two that are held: the first holds until it is due, then the second for the rest of its time", () => {
  const world = worldWith(3);
  const consumer = new TestConsumer(world, "t");
  consumer.fetch();
  consumer.rewind(2, 5_000);
  consumer.rewind(1, 2_000);
  consumer.rewind(0, 1_000);
  consumer.take();
  const came: [number, string[]][] = [];
  for (let second = 1; second <= 5; second++) {
    consumer.pull({ wait: 1_000 });
    world.clock.advance(1_000);
    came.push([second, consumer.bodies()]);
  }
  expect(came).toEqual([
    [1, ["0*"]],
    [2, ["1*"]],
    [3, []],
    [4, []],
    [5, ["2*"]],
  ]);
});

test("the hold ends where its message expires", () => {
  const world = worldWith(3);
  const consumer = holder(world, 1);
  consumer.ack(1);
  consumer.pull({ wait: HOUR });
  world.clock.advance(39_999);
  expect(consumer.bodies()).toEqual([]);
  world.clock.advance(1);
  expect(consumer.bodies()).toEqual(["2*"]);
  expect(heldMs(world)).toBe(0);
});

test("the hold ends where its message is purged", () => {
  const world = worldWith(3);
  const consumer = holder(world, 0);
  consumer.pull({ wait: HOUR });
  expect(world.broker.topics.get("t")?.purge()).toBe(3);
  new TestProducer(world, "t").send([message(9, "fresh")]);
  expect(consumer.bodies()).toEqual(["fresh"]);
});

test("the hold ends where its message dies", () => {
  const world = worldWith(3, { maxDeliveries: 2 });
  const consumer = new TestConsumer(world, "t");
  consumer.fetch();
  consumer.rewind(0);
  consumer.fetch();
  consumer.rewind(3, HOUR, "no good");
  expect(heldMs(world)).toBe(0);
  expect(consumer.fetch()).toEqual(["1*", "2*"]);
  expect(world.broker.shared.counters.deadLettered).toBe(1);
});

test("the hold ends where its message is dropped", () => {
  const world = new World({ maxTopicMemory: 16 * 1024, overflow: "drop-oldest" });
  const producer = new TestProducer(world, "t");
  producer.send([message(0, "held")]);
  const consumer = holder(world, 0);
  consumer.pull({ wait: HOUR });
  for (let id = 1; id < 40; id++) producer.send([message(id, "x".repeat(1_000))]);
  expect(world.broker.shared.counters).toMatchObject({ rejected: 0 });
  expect(heldMs(world)).toBe(0);
  expect(consumer.bodies()[0]).toHaveLength(1_000);
});

test("the hold is its message's though others take the topic over, and a snapshot keeps it", () => {
  const world = worldWith(3);
  const gone = holder(world, 0);
  gone.link.end(1006);
  const next = new TestConsumer(world, "t");
  expect(next.fetch()).toEqual([]);
  next.link.end(1006);
  world.restart(HOUR / 2);
  expect(heldMs(world)).toBe(HOUR / 2);
  const last = new TestConsumer(world, "t");
  expect(last.fetch()).toEqual([]);
  world.clock.advance(45_000);
  const heir = new TestConsumer(world, "t");
  world.clock.skip(HOUR);
  world.clock.advance(0);
  expect(heir.closed?.code).toBe(4014);
  world.checkMemory();
  expect(new TestConsumer(world, "t").fetch()).toEqual(["0*", "2*"]);
});

test("a hold that was over while no server ran is over", () => {
  const world = worldWith(3);
  holder(world, 0);
  world.restart(2 * HOUR);
  expect(heldMs(world)).toBe(0);
  expect(new TestConsumer(world, "t").fetch()).toEqual(["0*", "2*"]);
});

test("a hold that is over is one with what was given back beside it", () => {
  const world = worldWith(4);
  const consumer = new TestConsumer(world, "t");
  consumer.fetch();
  consumer.retry(1, 3);
  consumer.rewind(0, 1_000);
  world.clock.advance(1_000);
  expect([...world.broker.topics.get("t")!.backlog.returned]).toMatchObject([
    { first: 0, end: 4, deliveries: 1, due: 0 },
  ]);
});

test("a rewind with a delay above 24 h ends the stream, one of 24 h holds", () => {
  const world = worldWith(1);
  const consumer = new TestConsumer(world, "t");
  consumer.fetch();
  consumer.rewind(0, 24 * HOUR);
  expect(heldMs(world)).toBe(24 * HOUR);
  consumer.rewind(0, 24 * HOUR + 1);
  expect(consumer.closed?.code).toBe(4003);
});

test("a rewind that gives nothing back, or whose message was settled, holds nothing", () => {
  const world = worldWith(3);
  const consumer = new TestConsumer(world, "t");
  consumer.fetch({ max: 2 });
  consumer.rewind(2, HOUR);
  consumer.settle({ position: 0, count: 1, outcome: 0 });
  consumer.rewind(0, HOUR);
  expect(heldMs(world)).toBe(0);
  expect(consumer.fetch()).toEqual(["1*", "2"]);
});

test("a shared consumer cannot hold the topic back", () => {
  const world = worldWith(1);
  const consumer = new TestConsumer(world, "t", "shared");
  consumer.fetch();
  consumer.rewind(0, 1);
  expect(consumer.closed?.code).toBe(4009);
  expect(new TestConsumer(world, "t", "shared").fetch()).toEqual(["0*"]);
});

test("a hold that ends because another topic needs memory wakes who waits", () => {
  for (const overflow of ["drop-oldest", "reject"] as const) {
    const world = new World({ maxMemory: 768 * 1024, overflow });
    // Where nothing may be dropped its time to live is over, and no timer has run yet.
    const held = { ttlMs: overflow === "reject" ? 30_000 : 0 };
    const producer = new TestProducer(world, "t");
    producer.send([message(0, "x".repeat(270_000))], held);
    // Not in the same buffer.
    const next = "next".padEnd(30_000);
    producer.send([message(1, next)]);
    const consumer = holder(world, 0);
    consumer.pull({ wait: HOUR });
    world.clock.skip(30_000);
    const other = new TestProducer(world, "other");
    for (let id = 0; id < 13; id++) other.send([message(id, "x".repeat(20_000))]);
    expect(world.broker.shared.counters).toMatchObject({ rejected: 0, produced: 15 });
    expect(heldMs(world)).toBe(0);
    // Not by who made room, who is in the middle of a send.
    expect(consumer.bodies()).toEqual([]);
    world.clock.advance(0);
    expect(consumer.bodies()).toEqual([next]);
  }
});
