/** Very many pieces, pulls and consumers: none is lost, each costs a few steps, and others are served between. */
import { expect, test } from "bun:test";
import { listTopics } from "../../src/broker/stats.ts";
import { Outcome } from "../../src/gen/tinymq/v1/queue.ts";
import { message, type SettleRequest, TestConsumer, TestProducer, unfold } from "../support/clients.ts";
import { PRICES } from "../support/memory-count.ts";
import { Bystander, countWork, runTurns, sendMany } from "../support/work.ts";
import { World } from "../support/world.ts";

const MiB = 1024 * 1024;
const RESOURCE_EXHAUSTED = 4008;
const upTo = (count: number, from = 0) => Array.from({ length: count }, (_, index) => from + index);

/** Takes every other one of the positions [from, from + 2 * count). */
const everyOther = (count: number, from: number, outcome: Outcome): SettleRequest[] =>
  upTo(count).map((index) => ({ position: from + 2 * index, count: 1, outcome }));

/** Topic "t" with `count` messages that were given back, of offsets that do not follow each other. */
function fragmentedWorld(count: number): World {
  const world = new World();
  sendMany(new TestProducer(world, "t"), 2 * count);
  const atOnce = 10_000;
  const lives = count / atOnce;
  const consumers = upTo(lives).map(() => new TestConsumer(world, "t", "shared"));
  for (const consumer of consumers) {
    for (let pull = 0; pull < 5; pull++) consumer.pull({ max: 4_000 });
    consumer.settleAll(everyOther(atOnce, 0, Outcome.DONE));
    world.events.length = 0;
  }
  world.clock.advance(1);
  for (const consumer of consumers) consumer.leave();
  expect(world.broker.topics.get("t")?.ready).toBe(count);
  return world;
}

function idsOf(consumer: TestConsumer): number[] {
  return consumer
    .take()
    .flatMap((kind) => (kind.oneofKind === "delivered" ? unfold(kind).messages : []))
    .map(({ message: { id } }) => id);
}

test("16 pulls over 200,000 pieces: some at a time, in order, and then the rest", () => {
  const world = fragmentedWorld(200_000);
  world.checkMemory();
  expect(world.broker.topics.get("t")!.memory).toBeGreaterThan(200_000 * PRICES.returned);
  const bystander = new Bystander(world);
  const consumer = new TestConsumer(world, "t");
  consumer.take();
  const { counters } = world.broker.topics.get("t")!.tally;
  let before = counters.delivered;
  const turn = (act: () => void) => {
    expect(countWork(act)).toBeLessThan(30_000);
    // No more than a turn's pieces, and those of the delivery that reached it.
    expect(counters.delivered - before).toBeLessThanOrEqual(1_024 + 1_024);
    before = counters.delivered;
    bystander.isServed();
  };
  const ids: number[] = [];
  while (ids.length < 200_000) {
    for (let pull = 0; pull < 16; pull++) turn(() => consumer.pull({ max: 8_192, wait: 1 }));
    while (world.clock.nextDue <= world.clock.now()) turn(() => world.clock.runNext());
    const some = idsOf(consumer);
    if (some.length === 0) throw new Error(`nothing comes after ${ids.length}`);
    ids.push(...some);
    turn(() => consumer.ack(ids.length));
    world.clock.advance(1);
    world.events.length = 0;
    before = counters.delivered;
  }
  expect(ids).toEqual(upTo(200_000).map((index) => 2 * index + 1));
  world.checkMemory();
});

test("a consumer that holds 4,096 pieces gets no more until it settled some, and is told so at once", () => {
  const world = fragmentedWorld(40_000);
  const consumer = new TestConsumer(world, "t");
  const other = new Bystander(world);
  for (let pull = 0; pull < 4; pull++) consumer.pull({ max: 1_024 });
  runTurns(world, () => other.isServed());
  expect(idsOf(consumer)).toHaveLength(4_096);
  const waits = consumer.pull({ wait: 60_000, max: 10 });
  const wants = consumer.pull();
  expect(consumer.take()).toEqual([{ oneofKind: "empty", empty: { pullId: wants } }]);
  consumer.ack(1);
  const [delivered] = consumer.take();
  const { pullId, messages } = unfold(delivered!);
  expect([pullId, messages.length]).toEqual([waits, 10]);
  world.checkMemory();
});

test("a consumer that settles here and there, until it holds more than 16,384 pieces, is ended", () => {
  const world = new World();
  sendMany(new TestProducer(world, "t"), 50_000);
  const consumer = new TestConsumer(world, "t");
  for (let pull = 0; pull < 7; pull++) consumer.pull({ max: 8_192 });
  consumer.settleAll(everyOther(16_384, 0, Outcome.DONE));
  expect(consumer.closed).toBeNull();
  consumer.settleAll(everyOther(3, 2 * 16_384, Outcome.DONE));
  expect(consumer.closed?.code).toBe(RESOURCE_EXHAUSTED);
  expect(consumer.closed?.reason).toContain("in more than 16384 pieces");
  // What it settled is settled, and the rest comes again.
  const { backlog } = world.broker.topics.get("t")!;
  expect(backlog.log.count).toBe(50_000 - 16_384 - 1);
  expect(backlog.returned.count).toBe(backlog.log.count);
});

test("a rewind and a disconnect on 15,000 pieces each cost a few steps for each of them", () => {
  for (const end of ["rewind", "leave"] as const) {
    const world = new World();
    sendMany(new TestProducer(world, "t"), 30_000);
    const consumer = new TestConsumer(world, "t");
    for (let pull = 0; pull < 4; pull++) consumer.pull({ max: 8_192 });
    consumer.settleAll(everyOther(15_000, 0, Outcome.DONE));
    expect(world.broker.memoryUsed).toBeGreaterThan(15_000 * PRICES.leased);
    const work = countWork(() => (end === "rewind" ? consumer.rewind(0) : consumer.leave()));
    expect(work).toBeLessThan(15_000 * 12);
    const topic = world.broker.topics.get("t")!;
    expect([topic.ready, topic.backlog.leased]).toEqual([15_000, 0]);
    expect(topic.memory).toBe(topic.backlog.log.memory + 15_000 * PRICES.returned);
    world.checkMemory();
  }
});

test("pieces that follow each other again are one, unless they were delivered differently often", () => {
  const world = new World();
  sendMany(new TestProducer(world, "t"), 10_000);
  const consumer = new TestConsumer(world, "t", "shared");
  for (let pull = 0; pull < 2; pull++) consumer.pull({ max: 8_192 });
  consumer.pull({ max: 1, wait: 1, settles: everyOther(4_900, 0, Outcome.RETRY) });
  consumer.link.end(1006);
  const { returned } = world.broker.topics.get("t")!.backlog;
  // Who settles a position was handed all below: they count one delivery, the last ones none.
  expect([...returned]).toMatchObject([
    { first: 0, end: 9_799, deliveries: 1, due: 0 },
    { first: 9_799, end: 10_000, deliveries: 0, due: 0 },
  ]);
  world.checkMemory();
});

test("600 consumers with 64 pulls each that rewind: each costs what its own pulls cost", () => {
  const world = new World();
  const producer = new TestProducer(world, "t");
  sendMany(producer, 600);
  const consumers = upTo(600).map(() => new TestConsumer(world, "t", "shared"));
  for (const consumer of consumers) {
    consumer.pull({ max: 1 });
    for (let pull = 0; pull < 64; pull++) consumer.pull({ wait: 40_000, max: 1 });
  }
  world.events.length = 0;
  for (const consumer of consumers) consumer.take();
  let most = 0;
  for (const consumer of consumers) {
    most = Math.max(
      most,
      countWork(() => consumer.rewind(0)),
    );
    // The message that it gave back goes to the oldest of the pulls of others.
  }
  expect(most).toBeLessThan(1_000);
  expect(consumers.filter(({ closed }) => closed !== null)).toEqual([]);
  const seen = consumers.map((consumer) => consumer.take());
  for (const events of seen) expect(events.some(({ oneofKind }) => oneofKind === "rewound")).toBe(true);
  for (const consumer of consumers) consumer.leave();
  expect(world.broker.topics.get("t")?.ready).toBe(600);
  world.checkMemory();
});

test("10,000 shared consumers that wait and disconnect: each costs what it holds", () => {
  const world = new World();
  const consumers = upTo(10_000).map(() => new TestConsumer(world, "t", "shared"));
  for (const consumer of consumers) for (let pull = 0; pull < 3; pull++) consumer.pull({ wait: 40_000 });
  const work = countWork(() => {
    for (const consumer of consumers) consumer.leave();
  });
  expect(work).toBeLessThan(10_000 * 40);
  expect(world.broker.topics.get("t")?.users).toBe(0);
  new TestProducer(world, "t").send([message(1, "a")]);
  expect(new TestConsumer(world, "t").fetch()).toEqual(["a"]);
});

test("a page of 100,000 topics is found without a walk over all of them", () => {
  const world = new World({ maxTopics: 100_001, maxMemory: 512 * MiB });
  const names = upTo(100_000).map((index) => `topic ${(index * 7_919) % 100_000}`);
  for (const name of names) world.broker.openTopic(name);
  names.sort();
  const { startsWith } = String.prototype;
  const { sort } = Array.prototype;
  let compared = 0;
  let sorted = 0;
  String.prototype.startsWith = function (this: string, ...args) {
    compared += 1;
    return startsWith.apply(this, args);
  };
  Array.prototype.sort = function <T>(this: T[], ...args: [((one: T, other: T) => number)?]) {
    sorted += this.length;
    return sort.apply(this, args as []) as T[];
  };
  const pages: string[] = [];
  let total = 0;
  try {
    for (let page = 0; page < 5; page++) {
      const found = listTopics(world.broker, { prefix: "topic 9", after: pages.at(-1) ?? "", limit: 100 });
      total = found.total;
      pages.push(...found.topics.map(({ name }) => name));
    }
  } finally {
    String.prototype.startsWith = startsWith;
    Array.prototype.sort = sort;
  }
  const wanted = names.filter((name) => name.startsWith("topic 9"));
  expect(pages).toEqual(wanted.slice(0, 500));
  expect(total).toBe(wanted.length);
  expect(compared).toBeLessThan(5 * 100);
  expect(sorted).toBeLessThan(1_000);
});
