/** What must hold although an engine takes its time: races that no engine in memory has. */
import { expect, test } from "bun:test";
import { redrive } from "../../src/broker/redrive.ts";
import { ConnInit } from "../../src/gen/tinymq/v0/message.ts";
import { AsyncEngine } from "../support/async-engine.ts";
import { message, TestConsumer, TestProducer, TestSubscriber } from "../support/clients.ts";
import { Random } from "../support/random.ts";
import { World } from "../support/world.ts";

const ABNORMAL = 1006;

function slowWorld(limits = {}): { world: World; engine: AsyncEngine } {
  const engine = new AsyncEngine(new Random(1));
  return { world: new World(limits, engine), engine };
}

async function filled(count: number, limits = {}): Promise<{ world: World; engine: AsyncEngine }> {
  const { world, engine } = slowWorld(limits);
  const producer = new TestProducer(world, "t");
  await engine.idle();
  for (let id = 0; id < count; id++) producer.send([message(id, String(id))]);
  await engine.idle();
  return { world, engine };
}

async function consumerOf(world: World, engine: AsyncEngine, mode: "exclusive" | "shared" = "exclusive") {
  const consumer = new TestConsumer(world, "t", mode);
  await engine.idle();
  consumer.take();
  return consumer;
}

/** Pulls more often than there are messages: such an engine is asked once a delivery. */
async function drain(consumer: TestConsumer, engine: AsyncEngine): Promise<void> {
  for (let pull = 0; pull < 8; pull++) {
    consumer.pull();
    await engine.idle();
  }
}

test("of two consumers that open at the same instant one holds the topic", async () => {
  const { world, engine } = slowWorld();
  const both = [new TestConsumer(world, "t", "exclusive", 1), new TestConsumer(world, "t", "exclusive", 2)];
  await engine.idle();
  const codes = both.map(({ closed }) => closed?.code ?? 0).sort();
  expect(codes).toEqual([0, 4009]);
  expect(engine.holds("t")).toBe(true);
  for (const { link } of both) link.end(1000);
  await engine.idle();
  expect(engine.holds("t")).toBe(false);
});

test("the same consumer twice at the same instant is not refused by its own ghost", async () => {
  const { world, engine } = slowWorld();
  const both = [new TestConsumer(world, "t", "exclusive", 1), new TestConsumer(world, "t", "exclusive", 1)];
  await engine.idle();
  expect(both.map(({ closed }) => closed?.code ?? 0).sort()).toEqual([0, 4010]);
  expect(world.broker.topics.get("t")?.dispatcher.consumers).toBe(1);
});

test("a holder that comes back keeps the lock", async () => {
  const { world, engine } = slowWorld();
  new TestConsumer(world, "t", "exclusive", 1);
  await engine.idle();
  const standby = new TestConsumer(world, "t", "standby", 2);
  const back = new TestConsumer(world, "t", "exclusive", 1);
  await engine.idle();
  expect(engine.holds("t")).toBe(true);
  expect(back.closed).toBeNull();
  expect(standby.take().map((kind) => kind.oneofKind)).toEqual(["opened"]);
});

test("a consumer that goes while the topic opens leaves nothing behind", async () => {
  const { world, engine } = slowWorld();
  const gone = [
    new TestConsumer(world, "t"),
    new TestProducer(world, "t", 1),
    new TestSubscriber(world, "t"),
  ];
  const old = world.connectFirstVersion("/t");
  old.receive(ConnInit.toBinary({ role: 1, topic: "t" }));
  old.receive(ConnInit.toBinary({ role: 1, topic: "t" }));
  for (const { link } of gone) link.end(ABNORMAL);
  old.end(ABNORMAL);
  await engine.idle();
  expect(world.broker.topics.get("t")?.users).toBe(0);
  world.clock.advance(500_000);
  await engine.idle();
  expect(world.broker.topics.size).toBe(0);
  expect(world.broker.memoryUsed).toBe(0);
});

test("the 257th batch without an answer ends the stream", async () => {
  const { world, engine } = slowWorld();
  const producer = new TestProducer(world, "t", 1);
  await engine.idle();
  engine.pause();
  for (let seq = 1; seq <= 256; seq++) producer.send([message(seq, "a")]);
  expect(producer.closed).toBeNull();
  producer.send([message(257, "a")]);
  expect(producer.closed?.code).toBe(4008);
  engine.proceed();
  await engine.idle();
  expect(world.broker.topics.get("t")?.log.count).toBe(256);
});

test("an answer on its way does not overtake what a producer sends again on a new connection", async () => {
  const { world, engine } = slowWorld({ maxMessageBytes: 100 });
  const cut = new TestProducer(world, "t", 1);
  await engine.idle();
  cut.send([message(1, "one")]);
  cut.send([message(2, "x".repeat(200))]);
  await engine.idle();
  engine.pause();
  cut.send([message(3, "three")]);
  cut.link.end(ABNORMAL);
  const again = new TestProducer(world, "t", 1, 1);
  again.take();
  engine.proceed();
  await engine.idle();
  // An acknowledgement of 3 would tell that 2 is stored.
  expect(again.take()).toEqual([]);
  again.send([message(1, "one")]);
  again.send([message(2, "x".repeat(200))]);
  again.send([message(3, "three")]);
  const answers = again.take().map((kind) => kind.oneofKind);
  expect(answers).toEqual(["acked", "rejected", "acked"]);
  expect(world.broker.topics.get("t")?.log.count).toBe(2);
});

test("a batch on its way when its producer was cut is answered on the new connection, once", async () => {
  const { world, engine } = slowWorld();
  const cut = new TestProducer(world, "t", 1);
  await engine.idle();
  engine.pause();
  cut.send([message(1, "one")]);
  cut.link.end(ABNORMAL);
  const again = new TestProducer(world, "t", 1, 1);
  again.send([message(1, "one")]);
  engine.proceed();
  await engine.idle();
  expect(again.take().map((kind) => kind.oneofKind)).toEqual(["opened", "acked"]);
  expect(world.broker.topics.get("t")?.log.count).toBe(1);
});

test("messages that are purged or expire while an engine reads them are not delivered", async () => {
  const { world, engine } = await filled(3);
  const producer = new TestProducer(world, "t");
  producer.send([message(9, "short")], { ttlMs: 1_000 });
  await engine.idle();
  const consumer = await consumerOf(world, engine);
  engine.pause();
  consumer.pull({ wait: 10_000 });
  world.broker.topics.get("t")?.purge();
  world.clock.advance(1_000);
  producer.send([message(10, "new")]);
  engine.proceed();
  await engine.idle();
  expect(consumer.bodies()).toEqual(["new"]);
  consumer.ack(1);
  await engine.idle();
  const topic = world.broker.topics.get("t")!;
  expect([topic.log.count, topic.leased, topic.ready]).toEqual([0, 0, 0]);
  expect(world.broker.counters).toMatchObject({ delivered: 1, acked: 1, purged: 4 });
});

test("a message that is given back while an engine finds nothing is delivered", async () => {
  const { world, engine } = await filled(2);
  const one = await consumerOf(world, engine, "shared");
  const two = await consumerOf(world, engine, "shared");
  one.pull({ max: 1 });
  await engine.idle();
  engine.pause();
  world.broker.topics.get("t")?.purge();
  // The engine still counts what it has not removed yet, and is asked for it.
  two.pull({ wait: 10_000 });
  one.retry(0);
  engine.proceed();
  await engine.idle();
  expect(two.bodies()).toEqual(["0*"]);
});

test("a message given back while its neighbour is read is not left behind", async () => {
  const { world, engine } = slowWorld();
  const producer = new TestProducer(world, "t");
  await engine.idle();
  producer.send([0, 1, 2].map((id) => message(id, String(id))));
  await engine.idle();
  const one = await consumerOf(world, engine, "shared");
  const two = await consumerOf(world, engine, "shared");
  one.pull({ max: 3 });
  await engine.idle();
  one.retry(1);
  await engine.idle();
  engine.pause();
  two.pull({ max: 1, wait: 10_000 });
  one.retry(0);
  engine.proceed();
  await engine.idle();
  two.pull({ max: 5 });
  await engine.idle();
  expect(two.bodies().sort()).toEqual(["0*", "1*"]);
});

test("a consumer that goes while an engine reads for it loses nothing", async () => {
  const { world, engine } = await filled(2);
  const consumer = await consumerOf(world, engine);
  engine.pause();
  consumer.pull({ wait: 10_000 });
  consumer.link.end(ABNORMAL);
  engine.proceed();
  await engine.idle();
  const next = await consumerOf(world, engine);
  await drain(next, engine);
  expect(next.bodies().map((body) => body[0]!)).toEqual(["0", "1"]);
});

test("a consumer and a redrive never get the same dead letters", async () => {
  const { world, engine } = await filled(3);
  const consumer = await consumerOf(world, engine);
  consumer.pull();
  await engine.idle();
  consumer.reject(0, 3, "bad");
  await engine.idle();
  const reader = new TestConsumer(world, "t.dead");
  await engine.idle();
  engine.pause();
  reader.pull({ wait: 10_000 });
  const moving = redrive(world.broker, "t", 10);
  engine.proceed();
  await engine.idle();
  const moved = await moving;
  expect(moved + reader.bodies().length).toBe(3);
});

test("two redrives at once move each dead letter once", async () => {
  const { world, engine } = await filled(5);
  const consumer = await consumerOf(world, engine);
  consumer.pull();
  await engine.idle();
  consumer.reject(0, 5, "bad");
  await engine.idle();
  const moving = Promise.all([redrive(world.broker, "t", 10), redrive(world.broker, "t", 10)]);
  await engine.idle();
  const [one, other] = await moving;
  expect(one + other).toBe(5);
  consumer.take();
  await drain(consumer, engine);
  expect(consumer.bodies()).toHaveLength(5);
});

test("delayed messages of one topic open one log, and keep their bytes while it opens", async () => {
  const { world, engine } = slowWorld();
  const producer = new TestProducer(world, "t");
  await engine.idle();
  producer.send([message(1, "first")], { delayMs: 1_000 });
  producer.send([message(2, "second")], { delayMs: 1_000 });
  await engine.idle();
  world.clock.advance(1_000);
  await engine.idle();
  const consumer = await consumerOf(world, engine);
  consumer.pull();
  await engine.idle();
  expect(consumer.bodies()).toEqual(["first", "second"]);
  expect(world.failures).toEqual([]);
});

test("what an engine could not move or store stays, and is tried again", async () => {
  const { world, engine } = await filled(1);
  const producer = new TestProducer(world, "t");
  producer.send([message(1, "delayed")], { delayMs: 1_000 });
  await engine.idle();
  const consumer = await consumerOf(world, engine);
  consumer.pull();
  await engine.idle();
  engine.failing = true;
  producer.send([message(2, "lost")]);
  consumer.reject(0, 1, "bad");
  world.clock.advance(1_000);
  await engine.idle();
  engine.failing = false;
  expect(producer.take().at(-1)?.oneofKind).toBe("rejected");
  expect(world.failures).toHaveLength(2);
  world.clock.advance(1_000);
  await engine.idle();
  await drain(consumer, engine);
  expect(consumer.bodies()).toEqual(["0", "0*", "delayed"]);
});

test("subscribers see the bytes that were sent, though storing them took a while", async () => {
  const { world, engine } = await filled(0);
  const subscriber = new TestSubscriber(world, "t");
  new TestProducer(world, "t").send([message(1, "seen")]);
  await engine.idle();
  const published = subscriber.take().at(-1);
  if (published?.oneofKind !== "published") throw new Error("nothing was published");
  expect(Buffer.from(published.published.messages).toString()).toContain("seen");
});
