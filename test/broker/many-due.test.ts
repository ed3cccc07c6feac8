/** Very many things due at one moment: all of it happens, in order, some at a time, and others are served between. */
import { expect, test } from "bun:test";
import { redrive } from "../../src/broker/redrive.ts";
import { Outcome } from "../../src/gen/tinymq/v1/queue.ts";
import { message, TestConsumer, TestProducer, unfold } from "../support/clients.ts";
import { PRICES } from "../support/memory-count.ts";
import { Bystander, countWork, runTurns, sendMany } from "../support/work.ts";
import { World } from "../support/world.ts";

const MINUTE = 60_000;
const MiB = 1024 * 1024;

/** How much a counter grows in one turn at most, and that the bystander is served behind each. */
function watched(world: World, counter: () => number): { between: () => void; most: () => number } {
  const bystander = new Bystander(world);
  let last = counter();
  let most = 0;
  const between = () => {
    most = Math.max(most, counter() - last);
    last = counter();
    bystander.isServed();
  };
  return { between, most: () => most };
}

/** Ids of all that comes, in order. */
function drain(consumer: TestConsumer): number[] {
  const ids: number[] = [];
  for (let before = -1; ids.length > before; ) {
    before = ids.length;
    consumer.pull({ max: 8_192, ack: ids.length });
    for (const kind of consumer.take()) {
      if (kind.oneofKind === "delivered") ids.push(...unfold(kind).messages.map(({ message: { id } }) => id));
    }
  }
  return ids;
}

const upTo = (count: number, from = 0) => Array.from({ length: count }, (_, index) => from + index);

/** Batches of one message whose times to live end by and by within the last 2 ms of a minute. */
function sendExpiring(producer: TestProducer, count: number): void {
  for (let id = 0; id < count; id++) producer.send([message(id, "")], { ttlMs: MINUTE - (id % 2) });
}

/** 50,000 messages that are due in one minute, each sent with its own delay. */
function worldOfDelayed(): World {
  const world = new World();
  const producer = new TestProducer(world, "t");
  for (let id = 0; id < 50_000; id++) {
    producer.send([message(id, "")], { delayMs: MINUTE - id });
    world.clock.skip(1);
  }
  expect(world.broker.topics.get("t")?.acceptor.delays?.count).toBe(50_000);
  return world;
}

test("50,000 messages delayed to one moment, each with its own delay, all come, in the order of sending", () => {
  const world = worldOfDelayed();
  world.clock.skip(MINUTE - 50_000 - 1);
  world.checkMemory();
  world.clock.advance(0);
  const topic = world.broker.topics.get("t")!;
  expect(topic.ready).toBe(0);
  world.clock.skip(1);
  const { between, most } = watched(world, () => topic.backlog.log.count);
  const turns = runTurns(world, between);
  expect(turns).toBeGreaterThan(40);
  expect(most()).toBeLessThanOrEqual(2_000);
  expect(drain(new TestConsumer(world, "t"))).toEqual(upTo(50_000));
});

test("so they do where they are overdue when a snapshot is restored", () => {
  const world = worldOfDelayed();
  world.restart(2 * MINUTE);
  const topic = world.broker.topics.get("t")!;
  expect(topic.acceptor.delays?.count).toBe(50_000);
  const { between, most } = watched(world, () => topic.backlog.log.count);
  runTurns(world, between);
  expect(most()).toBeLessThanOrEqual(2_000);
  expect(drain(new TestConsumer(world, "t"))).toEqual(upTo(50_000));
  world.checkMemory();
});

test("large delayed batches move some at a time, too, and the last pull gets what was due last", () => {
  const world = new World();
  const producer = new TestProducer(world, "t");
  for (let id = 0; id < 100; id++) producer.send([message(id, "x".repeat(1_000_000))], { delayMs: MINUTE });
  const topic = world.broker.topics.get("t")!;
  world.clock.skip(MINUTE);
  const { between, most } = watched(world, () => topic.backlog.log.count);
  runTurns(world, between);
  expect(most()).toBeLessThanOrEqual(10);
  expect(topic.backlog.log.count).toBe(100);
});

test("20,000 batches that expire together beside many leases: each is looked at a few times", () => {
  const world = new World();
  const producer = new TestProducer(world, "t");
  sendExpiring(producer, 40_000);
  // Of every two of the first batches one is held, so that leases and what expires lie side by side.
  const done = (index: number) => ({ position: 2 * index, count: 1, outcome: Outcome.DONE });
  for (let holder = 0; holder < 3; holder++) {
    const consumer = new TestConsumer(world, "t", "shared");
    for (let pull = 0; pull < 8; pull++) consumer.pull({ max: 1_000 });
    consumer.pull({ max: 1, settles: upTo(4_000).map(done) });
    consumer.retry(1, 1, 2 * MINUTE);
  }
  world.clock.skip(44_000);
  for (const { session } of world.links) session.pong();
  world.clock.skip(16_000);
  const topic = world.broker.topics.get("t")!;
  const { between, most } = watched(world, () => topic.tally.counters.expired);
  let turns = 0;
  const work = countWork(() => {
    turns = runTurns(world, between);
  });
  const { leased, log } = topic.backlog;
  expect([leased, log.count]).toEqual([12_000, 12_000]);
  expect(topic.tally.counters.expired).toBe(16_000);
  expect(turns).toBeGreaterThan(5);
  expect(most()).toBeLessThanOrEqual(2_048);
  expect(turns).toBeLessThan(100);
  expect(work).toBeLessThan(10 * 40_000);
});

test("a lease of many pieces that expires as one is marked some at a time", () => {
  const world = new World();
  sendMany(new TestProducer(world, "t"), 30_000, { ttlMs: MINUTE });
  const consumer = new TestConsumer(world, "t");
  for (let pull = 0; pull < 4; pull++) consumer.pull({ max: 8_192 });
  const done = (position: number) => ({ position, count: 1, outcome: Outcome.DONE });
  consumer.settleAll(upTo(15_000).map((index) => done(2 * index)));
  expect(consumer.closed).toBeNull();
  // The consumer lives on.
  world.clock.skip(44_000);
  consumer.request({ oneofKind: "heartbeat", heartbeat: {} });
  world.clock.skip(16_000);
  const bystander = new Bystander(world);
  let most = 0;
  let turns = 0;
  for (; world.clock.nextDue <= world.clock.now(); turns++) {
    most = Math.max(
      most,
      countWork(() => world.clock.runNext()),
    );
    bystander.isServed();
  }
  expect(turns).toBeGreaterThan(3);
  expect(most).toBeLessThan(30_000);
  expect(world.broker.topics.get("t")?.backlog.leased).toBe(15_000);
  consumer.leave();
  expect(world.broker.topics.get("t")?.tally.counters).toMatchObject({ acked: 15_000, expired: 15_000 });
});

test("a pull is not told that there is nothing while what has expired is swept", () => {
  const world = new World();
  const producer = new TestProducer(world, "t");
  sendExpiring(producer, 10_000);
  sendMany(producer, 1, { from: 10_000 });
  world.clock.skip(MINUTE);
  const consumer = new TestConsumer(world, "t");
  consumer.take();
  consumer.pull();
  expect(consumer.take()).toEqual([]);
  runTurns(world);
  expect(consumer.take().map((kind) => unfold(kind).messages[0]?.message.id)).toEqual([10_000]);
  consumer.ack(1);
  consumer.pull();
  expect(consumer.take().map(({ oneofKind }) => oneofKind)).toEqual(["empty"]);
});

test("redrive goes on behind dead letters that have expired, and lets others in between", async () => {
  const world = new World();
  const dead = new TestProducer(world, "t.dead");
  sendExpiring(dead, 10_000);
  sendMany(dead, 50_000, { from: 10_000 });
  world.clock.skip(MINUTE);
  const bystander = new Bystander(world);
  const topic = world.broker.openTopic("t");
  let last = 0;
  let looks = 0;
  let running = true;
  const look = () => {
    expect(topic.backlog.log.count - last).toBeLessThanOrEqual(1_024);
    last = topic.backlog.log.count;
    looks += 1;
    bystander.isServed();
    if (running) setTimeout(look, 0);
  };
  const moving = redrive(world.broker, "t", 1_000_000);
  look();
  const moved = await moving;
  running = false;
  expect(moved).toBe(50_000);
  expect(looks).toBeGreaterThan(40);
  expect(drain(new TestConsumer(world, "t"))).toEqual(upTo(50_000, 10_000));
});

test("100,000 messages retried with delays of their own are charged one by one, come back together, and leave nothing", () => {
  const world = new World();
  sendMany(new TestProducer(world, "t"), 100_000);
  const consumer = new TestConsumer(world, "t", "shared");
  for (let pull = 0; pull < 13; pull++) consumer.pull({ max: 8_192 });
  consumer.take();
  const topic = world.broker.topics.get("t")!;
  const before = world.broker.memoryUsed;
  for (let from = 0; from < 100_000; from += 5_000) {
    const settles = upTo(5_000, from).map((position) => ({
      position,
      count: 1,
      outcome: Outcome.RETRY,
      delayMs: MINUTE - (position % 2),
    }));
    consumer.pull({ max: 1, wait: 1, settles });
  }
  consumer.leave();
  expect(world.broker.memoryUsed - before).toBeGreaterThanOrEqual(100_000 * PRICES.held - PRICES.leased);
  world.checkMemory();
  expect(world.broker.timers.waiting).toBeLessThan(10);
  world.clock.skip(MINUTE);
  const { between, most } = watched(world, () => topic.backlog.returned.count);
  expect(runTurns(world, between)).toBeGreaterThan(20);
  expect(most()).toBeLessThanOrEqual(4_096);
  // All of them are one stretch now.
  expect(topic.memory).toBe(topic.backlog.log.memory + PRICES.returned);
  expect(drain(new TestConsumer(world, "t"))).toEqual(upTo(100_000));
});

test("a purge of 100,000 messages that were retried with a delay leaves no memory and no timer", () => {
  const world = new World();
  sendMany(new TestProducer(world, "t"), 10_000);
  const consumer = new TestConsumer(world, "t", "shared");
  consumer.pull({ max: 8_192 });
  consumer.pull({ max: 8_192 });
  for (let position = 0; position < 10_000; position++) consumer.retry(position, 1, MINUTE + position);
  const topic = world.broker.topics.get("t")!;
  expect(topic.purge()).toBe(10_000);
  expect(topic.memory).toBe(0);
  consumer.leave();
  runTurns(world);
  // What is left: the producer's heartbeat.
  expect(world.broker.timers.waiting).toBe(1);
});

test("a million unique ids that ran out behind one that lives a day make room for others at once", () => {
  const world = new World({ maxMemory: 512 * MiB });
  const producer = new TestProducer(world, "t");
  const DAY = 86_400_000;
  sendMany(producer, 1, { uniqueMs: DAY });
  sendMany(producer, 999_999, { from: 1, uniqueMs: MINUTE, ttlMs: MINUTE });
  expect(world.broker.shared.remembered.uniqueIds).toBe(1_000_000);
  producer.take();
  sendMany(producer, 1, { from: 2_000_000, uniqueMs: 1 });
  expect(producer.take().map(({ oneofKind }) => oneofKind)).toEqual(["rejected"]);
  world.clock.skip(MINUTE);
  const other = new TestProducer(world, "other");
  other.take();
  const work = countWork(() => sendMany(producer, 8_192, { from: 3_000_000, uniqueMs: MINUTE }));
  expect(producer.take().map(({ oneofKind }) => oneofKind)).toEqual(["acked"]);
  expect(work).toBeLessThan(60_000);
  const { between, most } = watched(world, () => -world.broker.shared.remembered.uniqueIds);
  runTurns(world, between);
  expect(most()).toBeLessThanOrEqual(20_000);
  expect(world.broker.shared.remembered.uniqueIds).toBe(8_193);
  // The one that lives on still counts.
  sendMany(producer, 1, { uniqueMs: DAY });
  expect(world.broker.shared.counters.duplicates).toBe(1);
  world.checkMemory();
});

test("times to live outlast their messages for a while, in no great number, and no send looks at all of them", () => {
  const world = new World();
  const producer = new TestProducer(world, "t");
  const consumer = new TestConsumer(world, "t");
  const topic = world.broker.topics.get("t")!;
  let most = 0;
  for (let id = 0; id < 60_000; id++) {
    const options = { ttlMs: MINUTE + (id % 7) };
    most = Math.max(
      most,
      countWork(() => producer.send([message(id, "")], options)),
    );
    if (id % 500 !== 499) continue;
    consumer.fetch({ max: 8_192 });
    consumer.ack(id - 99);
    world.events.length = 0;
    expect(topic.backlog.expiry!.items().length).toBeLessThan(4_000);
  }
  expect(most).toBeLessThan(20);
  world.checkMemory();
});
