/** How streams end, what was handed to a program until then, and how a client learns what it settled. */
import { expect, test } from "bun:test";
import { ConnInit, ContentWrite, Poll } from "../../src/gen/tinymq/v0/message.ts";
import {
  type ConsumeEvent,
  message,
  TestConsumer,
  TestProducer,
  TestSubscriber,
  unfold,
} from "../support/clients.ts";
import { PRICES } from "../support/memory-count.ts";
import { World } from "../support/world.ts";

const ABNORMAL = 1006;
const INVALID_ARGUMENT = 4003;
const HEARTBEAT = { oneofKind: "heartbeat", heartbeat: {} } as const;

function worldWith(count: number, limits = {}): World {
  const world = new World(limits);
  new TestProducer(world, "t").send(Array.from({ length: count }, (_, id) => message(id, String(id))));
  return world;
}

/** Offset and counted deliveries of all that came. */
function counts(consumer: TestConsumer): [offset: number, deliveries: number][] {
  return consumer
    .take()
    .filter((kind) => kind.oneofKind === "delivered")
    .flatMap((kind) => unfold(kind).messages)
    .map(({ offset, deliveries }) => [offset, deliveries]);
}

function settled(events: ConsumeEvent[]): number[] {
  return events.flatMap((kind) => (kind.oneofKind === "settled" ? [kind.settled.count] : []));
}

test("only a finish frame makes an end clean, whatever the close code", () => {
  const world = worldWith(1, { maxDeliveries: 3 });
  const { counters } = world.broker.shared;
  for (const code of [1000, 1001, 1005, ABNORMAL]) {
    const consumer = new TestConsumer(world, "t");
    consumer.pull({ handed: 0 });
    consumer.handed(1);
    consumer.finish();
    consumer.link.end(code);
  }
  expect(counters.deadLettered).toBe(0);
  for (const code of [1000, 1001, 1005]) {
    const consumer = new TestConsumer(world, "t");
    consumer.pull();
    consumer.handed(1);
    consumer.link.end(code);
  }
  expect(counters.deadLettered).toBe(1);
});

test("a producer is forgotten only behind a finish frame", () => {
  const world = new World();
  const opened = (producer: TestProducer) => {
    const kind = producer.take()[0]!;
    return kind.oneofKind === "opened" && kind.opened.known;
  };
  const first = new TestProducer(world, "t", 1);
  first.send([message(1, "a")]);
  first.link.end(1000);
  const second = new TestProducer(world, "t", 1, 2);
  expect(opened(second)).toBe(true);
  second.finish();
  second.link.end(ABNORMAL);
  expect(world.broker.shared.remembered.producers).toBe(0);
  expect(opened(new TestProducer(world, "t", 1, 2))).toBe(false);
});

test("a frame behind the finish frame ends the stream and is not carried out", () => {
  const world = worldWith(1);
  const producer = new TestProducer(world, "t");
  producer.finish();
  producer.send([message(1, "late")]);
  const consumer = new TestConsumer(world, "t");
  consumer.pull();
  consumer.finish();
  consumer.ack(1);
  const subscriber = new TestSubscriber(world, "t");
  subscriber.finish();
  subscriber.request(HEARTBEAT);
  for (const { closed } of [producer, consumer, subscriber]) {
    expect(closed).toEqual({ code: INVALID_ARGUMENT, reason: "a frame came after the finish frame" });
  }
  expect(world.broker.shared.counters).toMatchObject({ produced: 1, acked: 0 });
});

test("a finished stream is still answered until it is closed", () => {
  const world = worldWith(2);
  const consumer = new TestConsumer(world, "t");
  consumer.pull({ max: 1 });
  consumer.ack(1);
  consumer.finish();
  world.clock.advance(5);
  expect(settled(consumer.take())).toEqual([1]);
  consumer.link.end(1000);
  expect(world.broker.topics.get("t")?.ready).toBe(1);
});

test("an unclean end counts a delivery for what was handed and not settled, and for no other", () => {
  const world = worldWith(6);
  const dies = new TestConsumer(world, "t", "exclusive", 1);
  dies.fetch();
  dies.settle({ position: 1, count: 1, outcome: 0 });
  dies.handed(4);
  // Less than was said before changes nothing.
  dies.handed(2);
  dies.link.end(ABNORMAL);
  const next = new TestConsumer(world, "t");
  next.pull();
  expect(counts(next)).toEqual([
    [0, 1],
    [2, 1],
    [3, 1],
    [4, 0],
    [5, 0],
  ]);
});

test("who acknowledges or settles a position was handed it, and all below; a pull says it, too", () => {
  const world = worldWith(9);
  const lives: ((consumer: TestConsumer) => void)[] = [
    (consumer) => consumer.settle({ position: 2, count: 1, outcome: 0 }),
    (consumer) => consumer.ack(1),
    (consumer) => consumer.pull({ handed: 4, max: 1, wait: 1_000 }),
    () => {},
  ];
  for (const live of lives) {
    const consumer = new TestConsumer(world, "t");
    consumer.fetch();
    live(consumer);
    consumer.link.end(ABNORMAL);
  }
  const last = new TestConsumer(world, "t");
  last.pull();
  // Offset 2 was settled, then offset 0 acknowledged; 1, 3, 4, 5 were handed to the third.
  expect(counts(last)).toEqual([
    [1, 2],
    [3, 1],
    [4, 1],
    [5, 1],
    [6, 0],
    [7, 0],
    [8, 0],
  ]);
});

test("more handed out than was delivered ends the stream", () => {
  const world = worldWith(2);
  const consumer = new TestConsumer(world, "t");
  consumer.fetch({ max: 1 });
  consumer.handed(2);
  expect(consumer.closed?.code).toBe(INVALID_ARGUMENT);
  const other = new TestConsumer(world, "t");
  other.pull({ handed: 1 });
  expect(other.closed?.code).toBe(INVALID_ARGUMENT);
  // Nothing of it counts.
  expect(world.broker.topics.get("t")?.ready).toBe(2);
});

test("a retry counts however the stream ends, and runs tell the count", () => {
  const world = worldWith(3);
  const consumer = new TestConsumer(world, "t");
  consumer.fetch();
  consumer.retry(0);
  consumer.retry(2);
  consumer.rewind(1);
  consumer.pull();
  expect(counts(consumer)).toEqual([
    [0, 1],
    [1, 1],
    [2, 1],
  ]);
  consumer.retry(4);
  consumer.pull();
  expect(counts(consumer)).toEqual([[1, 2]]);
  consumer.leave();
  const next = new TestConsumer(world, "t");
  next.pull();
  expect(counts(next)).toEqual([
    [0, 1],
    [1, 2],
    [2, 1],
  ]);
});

test("max-deliveries takes what a program died of, and not what was prefetched behind it", () => {
  const world = worldWith(4, { maxDeliveries: 2 });
  for (let life = 0; life < 2; life++) {
    const consumer = new TestConsumer(world, "t", "shared");
    consumer.fetch();
    consumer.handed(1);
    consumer.link.end(ABNORMAL);
  }
  expect(world.broker.shared.counters.deadLettered).toBe(1);
  expect(new TestConsumer(world, "t.dead").fetch()).toEqual(["0"]);
  expect(new TestConsumer(world, "t").fetch()).toEqual(["1*", "2*", "3*"]);
});

test("what a consumer of the first version was sent was handed to its program", () => {
  const world = worldWith(2, { maxDeliveries: 2 });
  for (let life = 0; life < 2; life++) {
    const link = world.connectFirstVersion("/t");
    link.receive(ConnInit.toBinary({ role: 2, topic: "t" }));
    link.receive(Poll.toBinary({ topic: "t" }));
    link.end(ABNORMAL);
  }
  expect(world.broker.shared.counters.deadLettered).toBe(1);
  const writer = world.connectFirstVersion("/t");
  writer.receive(ConnInit.toBinary({ role: 1, topic: "t" }));
  writer.receive(ContentWrite.toBinary({ id: 2 ** 32 - 1, topic: "t", body: Uint8Array.of(50) }));
  expect(new TestConsumer(world, "t").fetch()).toEqual(["1", "2"]);
});

test("what was settled is told within 5 ms, once for all; each position counts once, and rewinds do not", () => {
  const world = worldWith(10, { maxDeliveries: 2 });
  const consumer = new TestConsumer(world, "t");
  consumer.fetch();
  consumer.ack(2);
  consumer.ack(2);
  consumer.settle({ position: 3, count: 1, outcome: 0 });
  consumer.reject(4);
  consumer.retry(5);
  consumer.settle({ position: 0, count: 6, outcome: 0 });
  world.clock.advance(4.9);
  expect(settled(consumer.take())).toEqual([]);
  world.clock.advance(0.1);
  // 0 and 1, 3, 4, 5; and then 2.
  expect(settled(consumer.take())).toEqual([6]);
  consumer.rewind(6);
  consumer.ack(6);
  world.clock.advance(100);
  expect(settled(consumer.take())).toEqual([]);
  consumer.pull({ max: 1 });
  consumer.pull({ settles: [{ position: 10, count: 1, outcome: 1 }] });
  world.clock.advance(5);
  expect(settled(consumer.take())).toEqual([7]);
});

test("nothing is told to a stream that ended in between", () => {
  const world = worldWith(2);
  const consumer = new TestConsumer(world, "t");
  consumer.fetch();
  consumer.ack(1);
  consumer.leave();
  world.clock.advance(100);
  expect(consumer.take()).toEqual([]);
  expect(world.broker.memoryUsed).toBe(
    PRICES.topic + PRICES.returned + world.broker.topics.get("t")!.backlog.log.memory,
  );
});
