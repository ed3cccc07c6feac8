/** Very many messages that die at once: within the memory that there is, some at a time, and none is lost. */
import { expect, test } from "bun:test";
import { topicInfo } from "../../src/broker/stats.ts";
import { Outcome } from "../../src/gen/tinymq/v1/queue.ts";
import { message, TestConsumer, TestProducer, unfold } from "../support/clients.ts";
import { PRICES } from "../support/memory-count.ts";
import { Bystander, countWork, runTurns, sendMany } from "../support/work.ts";
import { World } from "../support/world.ts";

const MiB = 1024 * 1024;
const SECOND = 1_000;
const REASON = "r".repeat(1_024);
/** What one chunk of messages on its way may take beside what there is room for: the chunk, and a new slab. */
const ON_THE_WAY = 512 * 1024;

function takeAll(world: World, count: number, mode: "exclusive" | "shared" = "exclusive"): TestConsumer {
  const consumer = new TestConsumer(world, "t", mode);
  for (let taken = 0; taken < count; taken += 8_192) consumer.pull({ max: 8_192 });
  consumer.take();
  world.events.length = 0;
  return consumer;
}

test("400,000 tiny messages rejected at once, each with a long reason, stay within the memory", () => {
  const maxMemory = 16 * MiB;
  const world = new World({ maxMemory });
  sendMany(new TestProducer(world, "t"), 400_000);
  const consumer = takeAll(world, 400_000);
  const bystander = new Bystander(world);
  const counters = () => world.broker.shared.counters;
  let before = 0;
  let most = 0;
  const look = () => {
    most = Math.max(most, counters().deadLettered - before);
    before = counters().deadLettered;
    expect(world.broker.memoryUsed).toBeLessThanOrEqual(maxMemory + ON_THE_WAY);
  };
  consumer.reject(0, 400_000, REASON);
  look();
  runTurns(world, () => {
    look();
    bystander.isServed();
  });
  expect(most).toBeLessThanOrEqual(1_024);
  // Memory is full of dead letters; the rest waits, held by nobody.
  const dead = world.broker.topics.get("t.dead")!;
  const topic = world.broker.topics.get("t")!;
  expect(before).toBeGreaterThan(5_000);
  expect(before).toBeLessThan(maxMemory / 1_024);
  expect(topicInfo(topic)).toMatchObject({ ready: 0, unacked: 400_000 - before });
  consumer.leave();
  expect(new TestConsumer(world, "t").fetch()).toEqual([]);
  // Each second those move for which there is room by then.
  let purged = dead.purge();
  expect(purged).toBe(before);
  for (let second = 0; second < 5; second++) {
    world.clock.skip(SECOND);
    runTurns(world, look);
    expect(counters().deadLettered).toBeGreaterThan(purged + 5_000);
    purged += dead.purge();
  }
  expect(purged + topic.queued).toBe(400_000);
  expect(topic.purge()).toBe(400_000 - purged);
  world.checkMemory();
});

test("what waits behind a full memory comes in order, once there is room for all of it", () => {
  const world = new World({ maxMemory: 8 * MiB });
  sendMany(new TestProducer(world, "t"), 20_000);
  const consumer = takeAll(world, 20_000);
  consumer.reject(0, 20_000, REASON);
  const dead = new TestConsumer(world, "t.dead");
  const ids: number[] = [];
  for (let second = 0; second < 10 && ids.length < 20_000; second++) {
    world.clock.skip(SECOND);
    runTurns(world);
    for (let before = -1; before < ids.length; ) {
      before = ids.length;
      dead.pull({ ack: ids.length });
      const came = dead
        .take()
        .flatMap((kind) => (kind.oneofKind === "delivered" ? unfold(kind).messages : []));
      ids.push(...came.map(({ message: { id } }) => id));
    }
  }
  expect(ids).toEqual(Array.from({ length: 20_000 }, (_, id) => id));
  expect(world.broker.topics.get("t")?.queued).toBe(0);
});

test("one settle of 16,000 pieces buries no more in its turn than one of a single piece", () => {
  for (const room of [true, false]) {
    const world = new World({ maxMemory: room ? 256 * MiB : 4 * MiB });
    sendMany(new TestProducer(world, "t"), 64_000);
    const bystander = new Bystander(world);
    const consumer = takeAll(world, 64_000);
    const settles = Array.from({ length: 16_000 }, (_, index) => ({
      position: 4 * index,
      count: 1,
      outcome: Outcome.DONE,
    }));
    consumer.settleAll(settles);
    const work = countWork(() => consumer.reject(0, 64_000, REASON));
    const topic = world.broker.topics.get("t")!;
    expect(topic.tally.counters.deadLettered).toBeLessThanOrEqual(1_024);
    expect(work).toBeLessThan(200_000);
    runTurns(world, () => {
      if (room) bystander.isServed();
    });
    const { deadLettered } = topic.tally.counters;
    if (room) expect(deadLettered).toBe(48_000);
    else expect(deadLettered).toBeLessThan(4_096);
    expect(topic.queued).toBe(48_000 - deadLettered);
    expect(world.broker.memoryUsed).toBeLessThan(room ? 256 * MiB : 4 * MiB + ON_THE_WAY);
    world.checkMemory();
  }
});

test("reasons of their own, for messages that find no room, are cut short: they cannot take what is not there", () => {
  const maxMemory = 2 * MiB;
  const world = new World({ maxMemory });
  sendMany(new TestProducer(world, "t"), 20_000);
  const consumer = takeAll(world, 20_000);
  for (let position = 0; position < 20_000; position++) consumer.reject(position, 1, `${position} ${REASON}`);
  // For each message a hundred bytes, and 64 characters of its reason.
  expect(world.broker.memoryUsed).toBeLessThan(maxMemory + 20_000 * 256);
  world.checkMemory();
  const dead = new TestConsumer(world, "t.dead");
  dead.pull({ max: 1 });
  const [letter] = unfold(dead.take().at(-1)!).messages;
  expect(letter?.message.headers["tinymq-dead-reason"]).toBe(`0 ${REASON}`.slice(0, 1_024));
});

test("messages that are rejected one after the other for one reason wait as one", () => {
  const world = new World({ maxTopics: 1 });
  sendMany(new TestProducer(world, "t"), 20_000);
  const consumer = takeAll(world, 20_000);
  const before = world.broker.memoryUsed;
  for (let position = 0; position < 10_000; position++) consumer.reject(position, 1, REASON);
  for (let position = 10_000; position < 20_000; position++) consumer.reject(position, 1, `${position % 2}`);
  expect(world.broker.memoryUsed - before).toBeLessThan(
    2 * 1_024 + 10_001 * (PRICES.dying + PRICES.dyingReason),
  );
  world.checkMemory();
  world.restart();
  world.broker.limits.maxTopics = 2;
  runTurns(world);
  expect(world.broker.shared.counters.deadLettered).toBe(20_000);
  const dead = new TestConsumer(world, "t.dead");
  const reasons: [number, string | undefined][] = [];
  for (let before = -1; before < reasons.length; ) {
    before = reasons.length;
    dead.pull({ bytes: MiB, max: 8_192, ack: before });
    for (const { message } of dead
      .take()
      .flatMap((kind) => (kind.oneofKind === "delivered" ? unfold(kind).messages : [])))
      reasons.push([message.id, message.headers["tinymq-dead-reason"]]);
  }
  expect(reasons.slice(9_999, 10_003)).toEqual([
    [9_999, REASON],
    [10_000, "0"],
    [10_001, "1"],
    [10_002, "0"],
  ]);
});

test("large messages die some at a time, too", () => {
  const world = new World();
  const producer = new TestProducer(world, "t");
  for (let id = 0; id < 50; id++) producer.send([message(id, "x".repeat(1_000_000))]);
  const consumer = new TestConsumer(world, "t");
  for (let pull = 0; pull < 50; pull++) consumer.pull({ bytes: MiB });
  consumer.reject(0, 50, "large");
  const { counters } = world.broker.shared;
  expect(counters.deadLettered).toBeLessThanOrEqual(2);
  let before = counters.deadLettered;
  runTurns(world, () => {
    expect(counters.deadLettered - before).toBeLessThanOrEqual(2);
    before = counters.deadLettered;
  });
  expect(counters.deadLettered).toBe(50);
  world.checkMemory();
});

test("very many settles in one turn, of nothing too, move no more than one would", () => {
  const world = new World();
  sendMany(new TestProducer(world, "t"), 65_000);
  const consumer = takeAll(world, 65_000);
  consumer.reject(0, 65_000, "all");
  for (let settle = 0; settle < 500; settle++) consumer.reject(0, 0, "nothing");
  for (let ack = 0; ack < 500; ack++) consumer.ack(0);
  const { counters } = world.broker.shared;
  expect(counters.deadLettered).toBeLessThanOrEqual(1_024);
  runTurns(world, () => {});
  expect(counters.deadLettered).toBe(65_000);
});

test("10,000 consumers that die with a poison message each bury it, each once", () => {
  const world = new World({ maxDeliveries: 1 });
  sendMany(new TestProducer(world, "t"), 10_000);
  const consumers = Array.from({ length: 10_000 }, () => new TestConsumer(world, "t", "shared"));
  for (const consumer of consumers) {
    consumer.pull({ max: 1 });
    consumer.handed(1);
  }
  const work = countWork(() => {
    for (const { link } of consumers) link.end(1006);
  });
  // Some move at once, the others in turns of their own.
  expect(world.broker.shared.counters.deadLettered).toBeLessThanOrEqual(1_024);
  for (let turn = 0; turn < 20; turn++) world.clock.advance(1);
  expect(world.broker.shared.counters.deadLettered).toBe(10_000);
  expect(work).toBeLessThan(10_000 * 50);
  world.checkMemory();
});

test("8,000 rejected one by one in one pull, the last first: some at once, the rest some at a time", () => {
  const world = new World();
  sendMany(new TestProducer(world, "t"), 8_000);
  const consumer = takeAll(world, 8_000);
  const bystander = new Bystander(world);
  const { counters } = world.broker.shared;
  const reject = (position: number) => ({ position, count: 1, outcome: Outcome.REJECT });
  const settles = Array.from({ length: 8_000 }, (_, index) => reject(7_999 - index));
  const work = countWork(() => consumer.pull({ settles }));
  expect(counters.deadLettered).toBeLessThanOrEqual(2_048);
  expect(work).toBeLessThan(8_000 * 10);
  let before = counters.deadLettered;
  runTurns(world, () => {
    expect(counters.deadLettered - before).toBeLessThanOrEqual(1_024);
    before = counters.deadLettered;
    bystander.isServed();
  });
  expect(counters.deadLettered).toBe(8_000);
  world.checkMemory();
});
