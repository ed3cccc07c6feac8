/** What is noted of messages that are settled one by one, in the worst order, while memory is full: it is bounded. */
import { expect, test } from "bun:test";
import { Batch, Outcome } from "../../src/gen/tinymq/v1/queue.ts";
import { message, type SettleRequest, TestConsumer, TestProducer } from "../support/clients.ts";
import { PRICES } from "../support/memory-count.ts";
import { runTurns } from "../support/work.ts";
import { World } from "../support/world.ts";

const MiB = 1024 * 1024;
const HOUR = 3_600_000;
const EXHAUSTED = 4008;
/** What may be noted beyond the memory where it is small. */
const MOST = 2 * MiB + 64 * 1024;

/** Fills the memory with tiny messages that all have numbers; returns how many. */
function fill(world: World, topic = "t"): number {
  const producer = new TestProducer(world, topic);
  const { counters } = world.broker.shared;
  const before = counters.produced;
  for (let id = 0; counters.rejected === 0; id += 4_096)
    producer.sendRaw(
      Batch.toBinary({ messages: Array.from({ length: 4_096 }, (_, index) => message(id + index, "")) }),
    );
  counters.rejected = 0;
  producer.leave();
  return counters.produced - before;
}

function takeAll(world: World, count: number, topic = "t"): TestConsumer {
  const consumer = new TestConsumer(world, topic, "shared");
  for (let taken = 0; taken < count; taken += 8_192) consumer.pull({ max: 8_192, bytes: MiB });
  consumer.take();
  world.events.length = 0;
  return consumer;
}

/** Settles the positions one by one, from the front, 512 a frame, until the stream ends; returns how many frames. */
function settleAll(
  consumer: TestConsumer,
  count: number,
  how: (position: number) => Partial<SettleRequest>,
): void {
  for (let from = 0; from < count && consumer.closed === null; from += 512) {
    const settles = Array.from({ length: Math.min(512, count - from) }, (_, index) => ({
      position: from + index,
      count: 1,
      outcome: Outcome.RETRY,
      ...how(from + index),
    }));
    consumer.pull({ max: 1, settles });
  }
}

function drain(world: World, topic = "t"): number {
  const consumer = new TestConsumer(world, topic, "shared");
  let taken = 0;
  for (let before = -1; before < taken; consumer.ack(taken)) {
    before = taken;
    consumer.pull({ max: 8_192, bytes: MiB });
    for (const kind of consumer.take())
      if (kind.oneofKind === "delivered") for (const run of kind.delivered.runs) taken += run.count;
    world.events.length = 0;
  }
  consumer.leave();
  return taken;
}

test("all of a full memory is retried one by one, each with a delay of its own: little is noted, and all come", () => {
  const world = new World({ maxMemory: 4 * MiB });
  const count = fill(world);
  const consumer = takeAll(world, count);
  settleAll(consumer, count, (position) => ({ delayMs: HOUR + (position % 1_000) }));
  expect([consumer.closed, count > 300_000]).toEqual([null, true]);
  expect(world.broker.memoryUsed).toBeLessThan(4 * MiB + MOST);
  world.checkMemory();
  // None comes before its time, and those that were joined come with the last of them.
  world.clock.skip(HOUR - 1);
  runTurns(world);
  expect(drain(world)).toBe(0);
  world.clock.skip(1_000);
  runTurns(world);
  expect(drain(world)).toBe(count);
});

test("retried one after the other for the same time they are one piece, by a clock that shows parts of ms, too", () => {
  const world = new World();
  const count = 4_000;
  const producer = new TestProducer(world, "t");
  producer.send(Array.from({ length: count }, (_, id) => message(id, "")));
  const consumer = takeAll(world, count);
  const before = world.broker.memoryUsed;
  for (let position = 0; position < count; position++) {
    world.clock.advance(0.0001);
    consumer.retry(position, 1, HOUR);
  }
  expect(world.broker.memoryUsed - before).toBeLessThanOrEqual(2 * PRICES.held);
});

const WAYS: [what: string, how: (position: number) => Partial<SettleRequest>][] = [
  ["every other kept", (at) => ({ position: 2 * at, outcome: Outcome.DONE })],
  ["every other done", (at) => (at % 2 === 0 ? { outcome: Outcome.DONE } : { delayMs: HOUR + at })],
  ["with and without a delay", (at) => ({ delayMs: at % 2 === 0 ? HOUR + at : 0 })],
  ["every other rejected", (at) => (at % 2 === 0 ? { outcome: Outcome.REJECT, reason: `${at}` } : {})],
  [
    "rejected or held",
    (at) => (at % 2 === 0 ? { outcome: Outcome.REJECT, reason: `${at}` } : { delayMs: HOUR }),
  ],
];

test("what cannot be joined ends the stream once too much is noted", () => {
  for (const [what, how] of WAYS) {
    // Dead letters find no room, for their topic cannot be made.
    const world = new World({ maxMemory: 2 * MiB, maxTopics: 1 });
    const count = fill(world);
    // What was kept comes back in so many pieces that the next stream does not get all.
    for (let stream = 0; stream < (what === "every other kept" ? 1 : 3); stream++) {
      const consumer = takeAll(world, count);
      settleAll(consumer, count, how);
      expect({ what, code: consumer.closed?.code }).toEqual({ what, code: EXHAUSTED });
      expect(consumer.closed?.reason).toMatch(/too much is noted|more than 16384 pieces/);
      expect(world.broker.memoryUsed).toBeLessThan(2 * MiB + MOST);
      world.checkMemory();
    }
    const { acked } = world.broker.shared.counters;
    expect(world.broker.topics.get("t")!.queued).toBe(count - acked);
  }
});

test("rejected for reasons of their own, with no room for dead letters: little is noted, and all of them die", () => {
  const world = new World({ maxMemory: 4 * MiB, maxTopics: 1 });
  const count = fill(world);
  const consumer = takeAll(world, count);
  settleAll(consumer, count, (at) => ({ outcome: Outcome.REJECT, reason: `reason ${at}` }));
  expect(consumer.closed).toBeNull();
  expect(world.broker.memoryUsed).toBeLessThan(4 * MiB + MOST);
  world.checkMemory();
  expect(world.broker.topics.get("t")!.backlog.leased).toBe(count);
  consumer.leave();
  world.broker.limits.maxTopics = 2;
  world.broker.limits.maxMemory = 512 * MiB;
  world.clock.skip(1_000);
  runTurns(world);
  expect(world.broker.shared.counters.deadLettered).toBe(count);
});

test("what one consumer notes keeps nobody else's retries from being exact", () => {
  const world = new World({ maxMemory: 4 * MiB });
  const other = new TestProducer(world, "other");
  other.send(Array.from({ length: 100 }, (_, id) => message(id, `${id}`)));
  const count = fill(world);
  settleAll(takeAll(world, count), count, (at) => ({ delayMs: at % 2 === 0 ? HOUR + at : 0 }));
  const consumer = new TestConsumer(world, "other");
  consumer.fetch({ max: 100 });
  for (let position = 0; position < 100; position++) consumer.retry(position, 1, 1_000 * (1 + position));
  expect(consumer.closed).toBeNull();
  for (let second = 1; second <= 100; second++) {
    world.clock.advance(1_000);
    expect(consumer.fetch()).toEqual([`${second - 1}*`]);
  }
});

test("rewinds that leave a piece each are refused once too much is noted", () => {
  const world = new World({ maxMemory: 2 * MiB });
  const count = fill(world);
  const consumer = new TestConsumer(world, "t");
  for (let taken = 0; taken < count; taken += 8_192) consumer.pull({ max: 8_192, bytes: MiB });
  consumer.take();
  for (let position = count - 2; position >= 0 && consumer.closed === null; position -= 2)
    consumer.rewind(position);
  expect(consumer.closed?.code).toBe(EXHAUSTED);
  expect(world.broker.memoryUsed).toBeLessThan(2 * MiB + MOST);
});

test("consumers of many topics note no more than 4 MiB in all, and each of them its share", () => {
  const world = new World({ maxMemory: 4 * MiB });
  const topics = 50;
  const each = 6_000;
  for (let topic = 0; topic < topics; topic++)
    new TestProducer(world, `t${topic}`).send(Array.from({ length: each }, (_, id) => message(id, "")));
  world.broker.limits.maxMemory = world.broker.memoryUsed;
  const consumers = Array.from({ length: topics }, (_, topic) => takeAll(world, each, `t${topic}`));
  for (const consumer of consumers)
    settleAll(consumer, each, (at) => ({ delayMs: at % 2 === 0 ? HOUR + at : 0 }));
  const beyond = world.broker.memoryUsed - world.broker.limits.maxMemory;
  expect([beyond > 2.5 * MiB, beyond < 4 * MiB + 64 * 1024]).toEqual([true, true]);
  expect([consumers[0]!.closed, consumers[49]!.closed?.code]).toEqual([null, EXHAUSTED]);
  for (const { pieces } of world.broker.topics.values())
    expect(pieces).toBeGreaterThan((0.9 * 2 * MiB) / topics);
});

test("what was noted while there was room ends no stream once memory is full", () => {
  for (const limit of ["maxMemory", "maxTopicMemory"] as const) {
    const world = new World({ maxMemory: 64 * MiB });
    const count = 50_000;
    const producer = new TestProducer(world, "t");
    for (let sent = 0; sent < count; sent += 5_000)
      producer.send(Array.from({ length: 5_000 }, (_, id) => message(id, "")));
    const consumer = takeAll(world, count);
    settleAll(consumer, count - 100, (at) => ({ delayMs: at % 2 === 0 ? HOUR + at : 0 }));
    const topic = world.broker.topics.get("t")!;
    expect(topic.pieces).toBeGreaterThan(4 * MiB);
    world.broker.limits[limit] = (limit === "maxMemory" ? world.broker.memoryUsed : topic.memory) - 64;
    for (let position = count - 50; position < count; position++)
      consumer.retry(position, 1, position % 2 === 0 ? 2 * HOUR + position : 0);
    expect({ limit, closed: consumer.closed }).toEqual({ limit, closed: null });
  }
});
