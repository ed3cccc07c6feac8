/** What tries to go beyond the bounds of memory and of turns: moved, remembered, kept for later, or walked over. */
import { expect, test } from "bun:test";
import { purge } from "../../src/broker/purge.ts";
import { redrive } from "../../src/broker/redrive.ts";
import { takeSnapshot } from "../../src/broker/snapshot.ts";
import type { Message } from "../../src/gen/tinymq/v1/queue.ts";
import { Log } from "../../src/log/log.ts";
import { STANDARD_SLAB } from "../../src/log/slab-pool.ts";
import {
  message,
  type ProduceEvent,
  type ProduceOptions,
  TestConsumer,
  TestProducer,
} from "../support/clients.ts";
import { Random } from "../support/random.ts";
import { Bystander, runTurns, sendMany } from "../support/work.ts";
import { World } from "../support/world.ts";

const KiB = 1024;
const MiB = 1024 * KiB;
const MINUTE = 60_000;
const sized = (id: number, length: number) => message(id, `${id} `.padEnd(length, "x"));

/** Sends until the memory is full; returns how many were stored. */
function fill(world: World, producer: TestProducer, send: (id: number) => void): number {
  const before = world.broker.shared.counters.produced;
  for (let id = 0; world.broker.shared.counters.rejected === 0; id++) send(id);
  producer.take();
  return world.broker.shared.counters.produced - before;
}

function idsOf(consumer: TestConsumer): number[] {
  const ids: number[] = [];
  for (let some = consumer.fetch(); some.length > 0; some = consumer.fetch({ ack: ids.length }))
    ids.push(...some.map((text) => Number.parseInt(text, 10)));
  return ids;
}

test("delayed messages that fill the memory and come due one by one, here and there, never take more than it", () => {
  for (const length of [200, 2_000, 140_000, 270_000]) {
    const maxMemory = 2 * MiB;
    const world = new World({ maxMemory });
    const producer = new TestProducer(world, "t");
    const random = new Random(length);
    const stored = fill(world, producer, (id) =>
      producer.send([sized(id, length)], { delayMs: MINUTE + random.below(MINUTE) }),
    );
    const full = world.broker.memoryUsed;
    let most = 0;
    producer.link.end(1006);
    for (let seconds = 0; seconds < 120; seconds += 2) {
      world.clock.skip(2_000);
      runTurns(world, () => {
        most = Math.max(most, world.broker.memoryUsed);
      });
    }
    expect(full).toBeGreaterThan(0.75 * maxMemory);
    expect({ length, isWithin: most <= maxMemory }).toEqual({ length, isWithin: true });
    expect(world.broker.topics.get("t")?.ready).toBe(stored);
    expect(new Set(idsOf(new TestConsumer(world, "t"))).size).toBe(stored);
  }
});

const refusals = (events: ProduceEvent[]) =>
  events.flatMap((kind) => (kind.oneofKind === "rejected" ? [kind.rejected] : []));

test("what is remembered of refusals is charged, is little, and goes with its producer", () => {
  const world = new World({ maxMemory: 64 * KiB });
  fill(world, new TestProducer(world, "t"), (id) => new TestProducer(world, "t").send([sized(id, 1_000)]));
  const before = world.broker.memoryUsed;
  const producers = Array.from({ length: 50 }, (_, id) => new TestProducer(world, "t", id));
  for (const producer of producers)
    for (let batch = 0; batch < 256; batch++) producer.send([sized(1, 9_000)]);
  const charged = world.broker.memoryUsed - before;
  expect(charged).toBeGreaterThan(50 * 50);
  expect(charged).toBeLessThan(50 * KiB);
  // They are answered as they were, though there is room by now.
  world.broker.limits.maxMemory = MiB;
  const [one] = producers;
  const first = refusals(one!.take());
  for (let seq = 1; seq <= 256; seq++) one!.send([sized(1, 9_000)], {}, seq);
  expect([first.length, refusals(one!.take())]).toEqual([256, first]);
  for (const producer of producers) producer.leave();
  expect(world.broker.memoryUsed).toBe(before);
});

test("a refusal names at most 16 ranges, and takes no more memory than those", () => {
  const world = new World({ maxMemory: 20 * KiB });
  const producer = new TestProducer(world, "t", 1);
  // Every second one is too large.
  const batch = Array.from({ length: 60 }, (_, id) => sized(id, id % 2 === 0 ? 10 : 20 * KiB));
  for (let round = 0; round < 3; round++) producer.send(batch);
  const before = world.broker.topics.get("t")!.producers.memory;
  expect(before).toBeLessThan(3 * 2_000);
  const ranges = refusals(producer.take())[0]!.messages.map(({ first, count }) => [first, count]);
  expect(ranges).toEqual([...Array.from({ length: 15 }, (_, index) => [2 * index + 1, 1]), [31, 29]]);
  expect(idsOf(new TestConsumer(world, "t")).slice(0, 16)).toEqual(
    Array.from({ length: 16 }, (_, index) => 2 * index),
  );
  world.restart();
  const again = new TestProducer(world, "t", 1, 3);
  again.send(batch);
  expect(refusals(again.take())[0]!.messages.map(({ first, count }) => [first, count])).toEqual(ranges);
});

/** A batch of which every second id is new and cannot be remembered, so that each refusal of it has 16 ranges. */
function refusedInPart(world: World): { batch: Message[]; unique: ProduceOptions } {
  const unique = { uniqueMs: 60 * MINUTE };
  new TestProducer(world, "t").send(
    Array.from({ length: 30 }, (_, id) => message(id, "")),
    unique,
  );
  return {
    batch: Array.from({ length: 60 }, (_, index) => message(index % 2 === 0 ? index / 2 : 1_000, "")),
    unique,
  };
}

test("refusals of many producers take little: who is refused on and on is closed and forgotten, and learns of it", () => {
  const world = new World({ maxMemory: MiB, maxUniqueIds: 30 });
  const { instance } = world.broker;
  const { batch, unique } = refusedInPart(world);
  const { producers, name } = world.broker.topics.get("t")!;
  let [most, closed] = [0, 0];
  for (let id = 0; id < 60; id++) {
    const producer = new TestProducer(world, name, id, 1, false, instance);
    for (let sent = 0; sent < 256 && producer.closed === null; sent++) {
      producer.send(batch, unique);
      most = Math.max(most, producers.memory);
    }
    if (producer.closed === null) continue;
    closed += 1;
    expect(producer.closed.code).toBe(4008);
    const again = new TestProducer(world, name, id, producer.seq, false, instance);
    expect(again.take()[0]).toMatchObject({ opened: { known: false } });
    again.send([message(1, "")]);
    expect(again.closed).toBeNull();
  }
  expect(closed).toBeGreaterThan(50);
  // Twice a MiB, and a little for each producer.
  expect(most).toBeLessThan(2 * MiB + 60 * 2_300);
  expect(world.broker.shared.noted.refusalBytes).toBe(producers.memory);
});

test("a producer with 256 refused batches in flight, again and again, is never closed, however little memory there is", () => {
  const world = new World({ maxMemory: 16 * KiB, maxUniqueIds: 30, maxMessageBytes: 1_000 });
  const { batch, unique } = refusedInPart(world);
  const inPart = new TestProducer(world, "t", 1);
  // Each text names another size.
  const whole = new TestProducer(world, "t", 2);
  for (let sent = 0; sent < 4 * 256; sent++) {
    inPart.send(batch, unique);
    whole.send([sized(1, 2_000 + sent)]);
  }
  expect([inPart.closed, whole.closed]).toEqual([null, null]);
  const first = refusals(inPart.take()).slice(-256);
  expect(first.every(({ messages }) => messages.length === 16)).toBe(true);
  for (let seq = inPart.seq - 255; seq <= inPart.seq; seq++) inPart.send(batch, unique, seq);
  expect(refusals(inPart.take())).toEqual(first);
});

test("a producer whose whole batches are refused is not closed because others fill what is remembered", () => {
  const world = new World({ maxMemory: 64 * KiB, maxUniqueIds: 30, maxMessageBytes: 1_000 });
  const { batch, unique } = refusedInPart(world);
  const whole = new TestProducer(world, "t", 100);
  for (let sent = 0; sent < 256; sent++) whole.send([sized(1, 2_000 + sent)]);
  const { noted } = world.broker.shared;
  const others = Array.from({ length: 40 }, (_, id) => new TestProducer(world, "t", id));
  for (let next = 0; noted.refusalBytes <= MiB; next++) others[next % 40]!.send(batch, unique);
  // Its own are more than an equal share.
  expect(others.every(({ closed }) => closed === null)).toBe(true);
  const before = noted.refusalBytes;
  for (let sent = 0; sent < 256; sent++) whole.send([sized(1, 2_000 + sent)]);
  expect(whole.closed).toBeNull();
  expect(noted.refusalBytes).toBeLessThan(before - 20_000);
});

test("where refusals take too much, those of whole batches share a text, and nobody is closed for them", () => {
  const world = new World({ maxMemory: 64 * KiB, maxMessageBytes: 100 });
  const producers = Array.from({ length: 100 }, (_, id) => new TestProducer(world, "t", id));
  for (let sent = 0; sent < 256; sent++)
    for (const producer of producers) producer.send([sized(1, 101 + sent)]);
  const answers = producers.map((producer) => refusals(producer.take()).length);
  expect(new Set(answers)).toEqual(new Set([256]));
  expect(producers.every(({ closed }) => closed === null)).toBe(true);
  expect(world.broker.shared.noted.refusalBytes).toBeLessThan(2 * MiB + 100 * 1_300);
});

test("buffers that are kept for the next slabs take at most a sixteenth of the memory", () => {
  for (const [maxMemory, most] of [
    [MiB, 0],
    [16 * MiB, 4],
    [1_024 * MiB, 16],
  ] as const) {
    const { pool } = new World({ maxMemory }).broker.shared;
    const slabs = Array.from({ length: 32 }, () => pool.take(STANDARD_SLAB));
    for (const bytes of slabs) pool.give(bytes);
    // What is not kept was freed at once.
    expect(slabs.filter(({ length }) => length > 0)).toHaveLength(most);
  }
});

test("a purge of 100,000 messages with unique ids goes on over several turns, and forgets their ids", async () => {
  const world = new World();
  const producer = new TestProducer(world, "t");
  const options = { uniqueMs: 60 * MINUTE };
  sendMany(producer, 40_000, { ...options, delayMs: MINUTE });
  sendMany(producer, 60_000, { ...options, from: 40_000 });
  const consumer = new TestConsumer(world, "t");
  consumer.pull({ max: 5 });
  consumer.ack(2);
  const { remembered } = world.broker.shared;
  const bystander = new Bystander(world);
  let last = remembered.uniqueIds;
  let turns = 0;
  const look = () => {
    expect(last - remembered.uniqueIds).toBeLessThanOrEqual(20_000);
    last = remembered.uniqueIds;
    turns += 1;
    bystander.isServed();
    if (last > 5) setTimeout(look, 0);
  };
  const purging = purge(world.broker.topics.get("t")!);
  look();
  expect(await purging).toBe(99_995);
  // Two were consumed and three are being worked on.
  expect([remembered.uniqueIds, turns > 5]).toEqual([5, true]);
  producer.take();
  sendMany(producer, 6, { ...options, from: 40_000 });
  expect(world.broker.shared.counters.duplicates).toBe(5);
  expect(world.broker.topics.get("t")?.tally.counters.purged).toBe(99_995);
});

test("a purge of what waits for room among the dead letters goes on over several turns, and delivers none of it", async () => {
  // Their topic cannot be made.
  const world = new World({ maxTopics: 2 });
  const bystander = new Bystander(world);
  const count = 40_000;
  sendMany(new TestProducer(world, "t"), count, { uniqueMs: 60 * MINUTE });
  const consumer = new TestConsumer(world, "t");
  for (let taken = 0; taken < count; taken += 8_192) consumer.pull({ max: 8_192, bytes: MiB });
  consumer.take();
  for (let position = 0; position < count; position++) consumer.reject(position, 1, `${position}`);
  consumer.take();
  consumer.pull({ wait: 60 * MINUTE });
  const { backlog } = world.broker.topics.get("t")!;
  let last = count;
  const look = () => {
    // Another turn may come between two looks.
    expect(last - backlog.leased).toBeLessThanOrEqual(2 * 4_096);
    last = backlog.leased;
    bystander.isServed();
    if (last > 0) setTimeout(look, 0);
  };
  const purging = purge(world.broker.topics.get("t")!);
  look();
  expect(await purging).toBe(count);
  expect([backlog.leased, backlog.log.count, consumer.bodies()]).toEqual([0, 0, []]);
  expect(world.broker.shared.remembered.uniqueIds).toBe(0);
});

test("a purge of what waits for room and has expired ends, and counts what had not", async () => {
  const world = new World({ maxTopics: 1 });
  const producer = new TestProducer(world, "t");
  sendMany(producer, 25_000, { ttlMs: MINUTE });
  sendMany(producer, 5_000, { from: 25_000 });
  const consumer = new TestConsumer(world, "t");
  for (let taken = 0; taken < 30_000; taken += 8_192) consumer.pull({ max: 8_192, bytes: MiB });
  consumer.reject(0, 30_000, "all");
  world.clock.advance(MINUTE);
  runTurns(world);
  expect(await purge(world.broker.topics.get("t")!)).toBe(5_000);
  expect(world.broker.topics.get("t")!.queued).toBe(0);
  expect(world.broker.shared.counters).toMatchObject({ expired: 25_000, purged: 5_000 });
});

test("a purge takes no more than there was, though a producer goes on", async () => {
  const world = new World();
  const producer = new TestProducer(world, "t");
  sendMany(producer, 20_000);
  const purging = purge(world.broker.topics.get("t")!);
  sendMany(producer, 30_000, { from: 20_000 });
  expect(await purging).toBe(20_000);
  expect(world.broker.topics.get("t")?.ready).toBe(30_000);
});

test("QueueFull says whether there is no room now, or would not be in an empty server either", () => {
  const world = new World({ maxMemory: 32 * KiB, maxTopicMemory: 8 * KiB });
  const producer = new TestProducer(world, "t");
  const said = (length: number) => {
    producer.send([sized(1, length)]);
    return refusals(producer.take())[0]?.message ?? "";
  };
  expect(said(40_000)).toBe(
    "too large: this takes 64 KiB in memory, and the server may hold 32 KiB in all (max-memory)",
  );
  expect(said(9_000)).toBe(
    'too large: this takes 16 KiB in memory, and topic "t" may hold 8 KiB (max-topic-memory)',
  );
  for (let sent = 0; sent < 3; sent++) said(3_000);
  expect(said(3_000)).toContain('topic "t" is full: its messages hold');
});

test("messages of any size take no more than the memory, whoever sends, also when others are dropped", () => {
  for (const overflow of ["reject", "drop-oldest"] as const) {
    const maxMemory = 1.5 * MiB;
    const world = new World({ maxMemory, overflow });
    const random = new Random(11);
    const topics = ["a", "b", "c"];
    const producers = topics.map((name) => new TestProducer(world, name));
    for (let round = 0; round < 150; round++) {
      const length = random.pick([10, 3_000, 70_000, 132_000, 150_000, 262_000, 270_000, 500_000]);
      const count = 1 + random.below(length > 10_000 ? 3 : 100);
      random.pick(producers).send(Array.from({ length: count }, () => sized(1, length - random.below(9))));
      const remembered = topics.map((name) => world.broker.topics.get(name)?.producers.memory ?? 0);
      const used = world.broker.memoryUsed - remembered.reduce((sum, bytes) => sum + bytes, 0);
      expect(used).toBeLessThanOrEqual(maxMemory);
    }
    const { rejected, dropped } = world.broker.shared.counters;
    expect(overflow === "reject" ? rejected : dropped).toBeGreaterThan(50);
  }
});

/** How many topics were looked at while `act` ran: each that is looked at is asked whether it is drained. */
function countLooks(world: World, act: () => void): number {
  const topic = Object.getPrototypeOf([...world.broker.topics.values()][0]);
  const original = Object.getOwnPropertyDescriptor(topic, "isDrained")!;
  let looks = 0;
  const get = function (this: unknown) {
    looks += 1;
    return original.get!.call(this);
  };
  Object.defineProperty(topic, "isDrained", { configurable: true, get });
  try {
    act();
  } finally {
    Object.defineProperty(topic, "isDrained", original);
  }
  return looks;
}

test("with 2,000 topics of one size at the cap a drop looks at a few of them, and the largest lose first", () => {
  const topics = 2_000;
  // A topic, a message of a kilobyte, and its index.
  const maxMemory = topics * (2_048 + 1_024 + 24);
  const world = new World({ maxMemory, overflow: "drop-oldest" });
  const producers = Array.from({ length: topics }, (_, index) => new TestProducer(world, `t${index}`));
  for (const producer of producers) producer.send([sized(1, 1_000)]);
  expect(world.broker.memoryUsed).toBe(maxMemory);
  const looks = countLooks(world, () => {
    for (let index = 0; index < 600; index++) producers[index]!.send([sized(2, 1_000)]);
  });
  const { dropped, rejected } = world.broker.shared.counters;
  expect([rejected, dropped >= 300]).toEqual([0, true]);
  expect(looks / dropped).toBeLessThan(60);
  expect(world.broker.memoryUsed).toBeLessThanOrEqual(maxMemory);
});

test("redriven messages count as produced in their topic, and not as delivered or acknowledged dead letters", async () => {
  const world = new World();
  new TestProducer(world, "t").send([message(1, "a"), message(2, "b"), message(3, "c")]);
  const consumer = new TestConsumer(world, "t");
  consumer.fetch();
  consumer.reject(0, 3);
  const dead = new TestConsumer(world, "t.dead");
  dead.fetch({ max: 1 });
  dead.retry(0);
  expect(await redrive(world.broker, "t", 10)).toBe(3);
  const counters = (name: string) => world.broker.topics.get(name)?.tally.counters;
  expect(counters("t.dead")).toMatchObject({
    produced: 3,
    delivered: 1,
    redelivered: 0,
    acked: 0,
    purged: 0,
  });
  expect(counters("t")).toMatchObject({ produced: 6, delivered: 3, acked: 0 });
  expect(world.broker.topics.get("t.dead")?.backlog).toMatchObject({ ready: 0, leased: 0 });
});

test("redrive goes on in a new topic where the old one was removed in between", async () => {
  const world = new World({ idleTopicTtlMs: 1_000 });
  sendMany(new TestProducer(world, "t.dead"), 3_000);
  const moving = redrive(world.broker, "t", 10_000);
  const consumer = new TestConsumer(world, "t");
  const old = world.broker.topics.get("t");
  let taken = 0;
  for (let some = consumer.fetch(); some.length > 0; some = consumer.fetch()) taken += some.length;
  consumer.ack(taken);
  consumer.leave();
  world.clock.advance(1_000);
  expect([taken, world.broker.topics.has("t")]).toEqual([1_024, false]);
  expect(await moving).toBe(3_000);
  expect(world.broker.topics.get("t")).not.toBe(old);
  expect(world.broker.topics.get("t")?.ready).toBe(3_000 - taken);
});

test("a snapshot of very many records reads each message once", () => {
  const world = new World();
  const producer = new TestProducer(world, "t");
  // Every second one expires, so that no two that stay follow each other.
  for (let id = 0; id < 20_000; id++) producer.send([message(id, "")], id % 2 === 0 ? {} : { ttlMs: 1_000 });
  world.clock.advance(1_000);
  world.stopStreams();
  let read = 0;
  const original = Log.prototype.read;
  Log.prototype.read = function (...of) {
    const found = original.apply(this, of);
    read += found?.count ?? 0;
    return found;
  };
  try {
    const records = [...takeSnapshot(world.broker, "test")].filter(
      ({ kind }) => kind.oneofKind === "messages",
    );
    expect(records).toHaveLength(10_000);
  } finally {
    Log.prototype.read = original;
  }
  expect(read).toBe(10_000);
});
