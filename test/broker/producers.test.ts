/** Producers: each batch is stored once and answered the same way every time. */
import { expect, test } from "bun:test";
import { message, type ProduceEvent, TestConsumer, TestProducer } from "../support/clients.ts";
import { World } from "../support/world.ts";

const ABNORMAL = 1006;
const answers = (events: ProduceEvent[]) =>
  events.map((kind) => {
    if (kind.oneofKind === "acked") return `ack ${kind.acked.seq}`;
    if (kind.oneofKind === "rejected") return `reject ${kind.rejected.seq} ${kind.rejected.code}`;
    if (kind.oneofKind === "opened") return `opened ${kind.opened.known} ${kind.opened.lastSeq}`;
    return kind.oneofKind;
  });

test("a rejected batch, stored ones behind it, and a cut before the answers: sent again, answered the same", () => {
  const world = new World({ maxMessageBytes: 100 });
  const cut = new TestProducer(world, "t", 1);
  cut.send([message(1, "one")]);
  cut.send([message(2, "x".repeat(200))]);
  cut.send([message(3, "three")]);
  cut.send([message(4, "four")]);
  expect(answers(cut.take())).toEqual(["opened false 0", "ack 1", "reject 2 11", "ack 3", "ack 4"]);
  cut.link.end(ABNORMAL);

  const again = new TestProducer(world, "t", 1, 2);
  again.send([message(2, "x".repeat(200))]);
  again.send([message(3, "three")]);
  again.send([message(4, "four")]);
  again.send([message(5, "five")]);
  expect(answers(again.take())).toEqual(["opened true 4", "reject 2 11", "ack 3", "ack 4", "ack 5"]);
  expect(new TestConsumer(world, "t").fetch()).toEqual(["one", "three", "four", "five"]);
});

test("what was rejected because memory was full stays rejected when it is sent again with room", () => {
  const world = new World({ maxMemory: 4_200 });
  const producer = new TestProducer(world, "t", 1);
  producer.send([message(1, "a".repeat(2_000))]);
  producer.send([message(2, "b".repeat(3_000))]);
  expect(answers(producer.take()).slice(1)).toEqual(["ack 1", "reject 2 8"]);
  const consumer = new TestConsumer(world, "t");
  consumer.pull();
  consumer.ack(1);
  producer.send([message(2, "b".repeat(3_000))], {}, 2);
  producer.send([message(3, "c")]);
  expect(answers(producer.take())).toEqual(["reject 2 8", "ack 3"]);
});

test("an unknown producer goes on from its first unsettled batch, at the same and at a new instance", () => {
  const world = new World();
  const producer = new TestProducer(world, "t", 1, 7);
  producer.send([message(7, "seven")]);
  expect(answers(producer.take())).toEqual(["opened false 6", "ack 7"]);
  producer.leave();
  // Forgotten by its clean end.
  expect(answers(new TestProducer(world, "t", 1, 8).take())).toEqual(["opened false 7"]);
  expect(answers(new TestProducer(new World(), "t", 1, 8).take())).toEqual(["opened false 7"]);
});

test("a producer is remembered for two minutes after its end, and the topic with it", () => {
  const world = new World({ idleTopicTtlMs: 1_000 });
  const producer = new TestProducer(world, "t", 1);
  producer.send([message(1, "one")], { ttlMs: 500 });
  producer.link.end(ABNORMAL);
  world.clock.advance(119_999);
  expect(world.broker.shared.remembered.producers).toBe(1);
  expect([...world.broker.topics.keys()]).toEqual(["t"]);
  const again = new TestProducer(world, "t", 1, 2);
  expect(answers(again.take())).toEqual(["opened true 1"]);
  again.link.end(ABNORMAL);
  world.clock.advance(120_000);
  expect(world.broker.shared.remembered.producers).toBe(0);
  expect(world.broker.topics.size).toBe(1);
  world.clock.advance(1_000);
  expect(world.broker.topics.size).toBe(0);
  expect(world.broker.memoryUsed).toBe(0);
});

test("the same id on another connection closes the older one, whose frames no longer count", () => {
  const world = new World();
  const older = new TestProducer(world, "t", 1);
  older.send([message(1, "one")]);
  const newer = new TestProducer(world, "t", 1, 2);
  expect(older.closed?.code).toBe(4010);
  expect(answers(newer.take())).toEqual(["opened true 1"]);
  older.send([message(2, "late")]);
  newer.send([message(2, "two")]);
  expect(answers(newer.take())).toEqual(["ack 2"]);
  older.link.end(ABNORMAL);
  expect(world.broker.topics.get("t")?.producers.connected).toBe(1);
  expect(new TestConsumer(world, "t").fetch()).toEqual(["one", "two"]);
});

test("a producer with a past is unknown until its next batch came, however often it opens", () => {
  const world = new World();
  const { instance } = world.broker;
  new TestProducer(world, "t", 1, 5, false, instance).link.end(ABNORMAL);
  const again = new TestProducer(world, "t", 1, 3, false, instance);
  expect(answers(again.take())).toEqual(["opened false 2"]);
  again.send([message(3, "three")]);
  again.link.end(ABNORMAL);
  expect(answers(new TestProducer(world, "t", 1, 3, false, instance).take())).toEqual(["opened true 3"]);
});

test("ids are of one topic", () => {
  const world = new World();
  const one = new TestProducer(world, "one", 1);
  const two = new TestProducer(world, "two", 1);
  one.send([message(1, "a")]);
  two.send([message(1, "b")]);
  expect(one.closed).toBeNull();
  expect(new TestConsumer(world, "two").fetch()).toEqual(["b"]);
});

test("a gap, a seq of 0, or one older than 256 batches ends the stream", () => {
  const world = new World();
  const gap = new TestProducer(world, "t", 1);
  gap.send([message(1, "a")], {}, 2);
  expect(gap.closed?.code).toBe(4003);
  const zero = new TestProducer(world, "t", 2);
  zero.send([message(1, "a")], {}, 0);
  expect(zero.closed?.code).toBe(4003);

  const old = new TestProducer(world, "t", 3);
  for (let seq = 1; seq <= 257; seq++) old.send([message(seq, "a")]);
  old.take();
  old.send([message(2, "a")], {}, 2);
  expect(answers(old.take())).toEqual(["ack 2"]);
  old.send([message(1, "a")], {}, 1);
  expect(old.closed?.code).toBe(4011);
  expect(world.broker.topics.get("t")?.backlog.log.count).toBe(257);
});

test("a batch that is no batch ends the stream and is not stored; one that breaks a limit is rejected", () => {
  const world = new World();
  const producer = new TestProducer(world, "t");
  producer.send(Array.from({ length: 8_193 }, () => message(0, "")));
  expect(answers(producer.take()).slice(1)).toEqual(["reject 1 11"]);
  producer.sendRaw(Uint8Array.of(0x0a, 5, 1));
  expect(producer.closed?.code).toBe(4003);
  expect(world.broker.topics.get("t")?.backlog.log.count).toBe(0);
});

test("a full table of producers refuses new ones and forgets none", () => {
  const world = new World({ maxProducers: 1 });
  const first = new TestProducer(world, "t", 1);
  first.send([message(1, "a")]);
  first.link.end(ABNORMAL);
  const second = new TestProducer(world, "t", 2);
  expect(second.closed?.code).toBe(4008);
  expect(world.broker.topics.get("t")?.producers.connected).toBe(0);
  expect(answers(new TestProducer(world, "t", 1).take())).toEqual(["opened true 1"]);
  expect(new TestProducer(world, "t").closed).toBeNull();
});

test("a snapshot restores more producers than the limit is by then", () => {
  const world = new World({ maxProducers: 2 });
  for (const id of [1, 2]) new TestProducer(world, "t", id).send([message(1, "a")]);
  world.broker.limits.maxProducers = 1;
  world.restart();
  for (const id of [1, 2]) {
    expect(answers(new TestProducer(world, "t", id, 2).take())).toEqual(["opened true 1"]);
  }
});

test("unique ids: a second message of an id is left out while the time runs, within a batch too", () => {
  const world = new World();
  const producer = new TestProducer(world, "t");
  producer.send([message(1, "a"), message(2, "b"), message(1, "c")], { uniqueMs: 1_000 });
  producer.send([message(2, "d"), message(3, "e")], { uniqueMs: 1_000 });
  producer.send([message(2, "plain")]);
  world.clock.advance(1_000);
  producer.send([message(2, "f")], { uniqueMs: 1_000 });
  const consumer = new TestConsumer(world, "t");
  expect(consumer.fetch()).toEqual(["a", "b", "e", "plain", "f"]);
  expect(world.broker.shared.counters.duplicates).toBe(2);
});

test("ids of a batch that was rejected may come again", () => {
  const world = new World({ maxMemory: 4_096 });
  const producer = new TestProducer(world, "t");
  producer.send([message(1, "a".repeat(5_000))], { uniqueMs: 60_000 });
  producer.send([message(1, "b")], { uniqueMs: 60_000 });
  expect(answers(producer.take()).slice(1)).toEqual(["reject 1 8", "ack 2"]);
  world.checkMemory();
  expect(new TestConsumer(world, "t").fetch()).toEqual(["b"]);
});

test("an id is unique for its whole time, though the topic was empty and unused for long", () => {
  const world = new World({ idleTopicTtlMs: 1_000 });
  const producer = new TestProducer(world, "t");
  producer.send([message(1, "a")], { uniqueMs: 60_000, ttlMs: 10 });
  producer.leave();
  world.clock.advance(30_000);
  const again = new TestProducer(world, "t");
  again.send([message(1, "b")], { uniqueMs: 60_000 });
  expect(world.broker.shared.counters.duplicates).toBe(1);
  again.leave();
  world.clock.advance(62_000);
  expect(world.broker.topics.size).toBe(0);
  expect(world.broker.shared.remembered.uniqueIds).toBe(0);
});
