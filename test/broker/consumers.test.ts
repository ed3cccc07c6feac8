/** Consumers: who holds a topic, what is delivered to whom, and what becomes of what was not settled. */
import { expect, test } from "bun:test";
import { type ConsumeEvent, message, TestConsumer, TestProducer, unfold } from "../support/clients.ts";
import { World } from "../support/world.ts";

const ABNORMAL = 1006;
const FAILED_PRECONDITION = 4009;
const ABORTED = 4010;
const kinds = (events: ConsumeEvent[]) => events.map((kind) => kind.oneofKind);
const isHolder = (consumer: TestConsumer) => {
  const opened = consumer.take().find((kind) => kind.oneofKind === "opened");
  return opened?.oneofKind === "opened" && opened.opened.holder;
};

function worldWith(count: number, limits = {}): World {
  const world = new World(limits);
  const producer = new TestProducer(world, "t");
  for (let id = 0; id < count; id++) producer.send([message(id, String(id))]);
  return world;
}

test("of two exclusive consumers the second is refused, whoever it is", () => {
  const world = worldWith(1);
  const first = new TestConsumer(world, "t", "exclusive", 1);
  expect(isHolder(first)).toBe(true);
  expect(new TestConsumer(world, "t", "exclusive", 2).closed).toEqual({
    code: FAILED_PRECONDITION,
    reason: 'topic "t" has a consumer: mode "standby" waits in line; if all use mode "shared", they compete',
  });
  expect(new TestConsumer(world, "t", "exclusive").closed?.code).toBe(FAILED_PRECONDITION);
  expect(new TestConsumer(world, "t", "shared").closed?.code).toBe(FAILED_PRECONDITION);
  expect(first.fetch()).toEqual(["0"]);
});

test("standbys hold the topic in the order in which they came, and are told", () => {
  const world = worldWith(3);
  const holder = new TestConsumer(world, "t", "exclusive", 1);
  const line = [2, 3, 4].map((id) => new TestConsumer(world, "t", "standby", id));
  expect(line.map(isHolder)).toEqual([false, false, false]);
  line[0]!.pull({ max: 1, wait: 60_000 });
  line[1]!.pull();
  expect(kinds(line[1]!.take())).toEqual(["empty"]);
  expect(holder.fetch({ max: 2 })).toEqual(["0", "1"]);
  line[1]!.leave();
  holder.leave();
  const events = line[0]!.take();
  expect(kinds(events)).toEqual(["promoted", "delivered"]);
  expect(unfold(events[1]!).messages[0]).toMatchObject({ offset: 0, redelivered: true });
  line[0]!.link.end(ABNORMAL);
  expect(kinds(line[2]!.take())).toEqual(["promoted"]);
  expect(line[2]!.fetch()).toEqual(["0*", "1*", "2"]);
});

test("the holder's own id takes its place ahead of the line, and its ghost's leases return first", () => {
  const world = worldWith(3);
  const ghost = new TestConsumer(world, "t", "exclusive", 1);
  expect(ghost.fetch({ max: 2 })).toEqual(["0", "1"]);
  const standby = new TestConsumer(world, "t", "standby", 2);
  const back = new TestConsumer(world, "t", "exclusive", 1);
  expect(ghost.closed?.code).toBe(ABORTED);
  expect(kinds(standby.take())).toEqual(["opened"]);
  expect(isHolder(back)).toBe(true);
  expect(back.fetch()).toEqual(["0*", "1*", "2"]);
});

test("a late acknowledgement of the fenced holder changes nothing", () => {
  const world = worldWith(2);
  const ghost = new TestConsumer(world, "t", "exclusive", 1);
  ghost.fetch();
  const back = new TestConsumer(world, "t", "exclusive", 1);
  ghost.ack(2);
  ghost.reject(0);
  ghost.leave();
  expect(world.broker.shared.counters.acked).toBe(0);
  expect(back.fetch()).toEqual(["0*", "1*"]);
});

test("a holder that comes back in a mode that is refused leaves its place to the line", () => {
  const world = worldWith(1);
  const holder = new TestConsumer(world, "t", "exclusive", 1);
  const standby = new TestConsumer(world, "t", "standby", 2);
  const other = new TestConsumer(world, "t", "shared", 1);
  expect(other.closed?.code).toBe(FAILED_PRECONDITION);
  expect(holder.closed?.code).toBe(ABORTED);
  expect(kinds(standby.take())).toEqual(["opened", "promoted"]);
  expect(standby.fetch()).toEqual(["0"]);
});

test("a holder that comes back as a standby stays ahead of the line", () => {
  const world = worldWith(1);
  new TestConsumer(world, "t", "standby", 1);
  new TestConsumer(world, "t", "standby", 2);
  expect(isHolder(new TestConsumer(world, "t", "standby", 1))).toBe(true);
});

test("shared consumers share out the messages, and each pull is answered in its turn", () => {
  const world = worldWith(0);
  const one = new TestConsumer(world, "t", "shared", 1);
  const two = new TestConsumer(world, "t", "shared", 2);
  one.pull({ max: 1, wait: 1_000 });
  two.pull({ max: 1, wait: 1_000 });
  one.pull({ max: 5, wait: 1_000 });
  const producer = new TestProducer(world, "t");
  producer.send([1, 2, 3].map((id) => message(id, String(id))));
  expect(one.bodies()).toEqual(["1", "3"]);
  expect(two.bodies()).toEqual(["2"]);
  two.link.end(ABNORMAL);
  expect(one.fetch()).toEqual(["2*"]);
});

test("a crash loop condemns only its own message", () => {
  const world = worldWith(3, { maxDeliveries: 3 });
  for (let life = 1; life <= 3; life++) {
    const consumer = new TestConsumer(world, "t", "exclusive", 1);
    expect(consumer.fetch()).toHaveLength(3);
    // Its program dies of the first; the others were prefetched.
    consumer.handed(1);
    consumer.link.end(ABNORMAL);
  }
  expect(world.broker.shared.counters.deadLettered).toBe(1);
  expect(new TestConsumer(world, "t").fetch()).toEqual(["1*", "2*"]);
  const dead = new TestConsumer(world, "t.dead");
  dead.pull();
  const letter = unfold(dead.take()[1]!).messages[0]!.message;
  expect(letter.headers).toEqual({
    "tinymq-dead-topic": "t",
    "tinymq-dead-reason": "max-deliveries",
    "tinymq-dead-time": new Date(world.clock.wall()).toISOString(),
    "tinymq-dead-deliveries": "3",
  });
});

test("a clean end and a stop of the server count no delivery", () => {
  const world = worldWith(1, { maxDeliveries: 2 });
  for (let life = 0; life < 5; life++) {
    const consumer = new TestConsumer(world, "t");
    expect(consumer.fetch()).toHaveLength(1);
    if (life % 2 === 0) consumer.leave();
    else consumer.link.session.stop(1012, "");
  }
  expect(world.broker.shared.counters.deadLettered).toBe(0);
});

test("an acknowledgement is absolute, and above what was delivered it ends the stream", () => {
  const world = worldWith(4);
  const consumer = new TestConsumer(world, "t");
  consumer.fetch({ max: 3 });
  consumer.reject(1);
  consumer.ack(2);
  consumer.ack(1);
  expect(world.broker.shared.counters).toMatchObject({ acked: 1, deadLettered: 1 });
  consumer.ack(4);
  expect(consumer.closed?.code).toBe(4003);
  expect(new TestConsumer(world, "t").fetch()).toEqual(["2*", "3"]);
});

test("settling twice changes nothing", () => {
  const world = worldWith(3);
  const consumer = new TestConsumer(world, "t");
  consumer.fetch();
  consumer.retry(1);
  consumer.reject(0, 3);
  consumer.retry(0, 3);
  consumer.ack(3);
  expect(world.broker.shared.counters).toMatchObject({ acked: 0, deadLettered: 2 });
  expect(consumer.fetch()).toEqual(["1*"]);
});

test("a rewind answers the pulls, then itself, and only then delivers again", () => {
  const world = worldWith(4);
  const consumer = new TestConsumer(world, "t");
  consumer.fetch({ max: 4 });
  consumer.ack(1);
  consumer.pull({ wait: 1_000 });
  consumer.rewind(2);
  expect(kinds(consumer.take())).toEqual(["empty", "rewound"]);
  expect(consumer.fetch()).toEqual(["2*", "3*"]);
  consumer.rewind(0);
  consumer.pull();
  const events = consumer.take();
  expect(kinds(events)).toEqual(["rewound", "delivered"]);
  const { firstPosition, messages } = unfold(events[1]!);
  expect(firstPosition).toBe(6);
  expect(messages.map(({ offset }) => offset)).toEqual([1, 2, 3]);
});

test("a retry with a delay blocks what is behind it where order counts", () => {
  const world = worldWith(3);
  const consumer = new TestConsumer(world, "t");
  consumer.fetch({ max: 2 });
  consumer.rewind(0, 5_000);
  consumer.take();
  expect(consumer.fetch()).toEqual([]);
  consumer.pull({ wait: 60_000 });
  world.clock.advance(4_999);
  expect(consumer.bodies()).toEqual([]);
  world.clock.advance(1);
  expect(consumer.bodies()).toEqual(["0*", "1*", "2"]);
});

test("a settle with a delay holds back its own messages only", () => {
  const world = worldWith(3);
  const consumer = new TestConsumer(world, "t", "shared");
  consumer.fetch({ max: 2 });
  consumer.retry(0, 1, 5_000);
  consumer.retry(1);
  expect(world.broker.topics.get("t")?.ready).toBe(2);
  expect(consumer.fetch()).toEqual(["1*", "2"]);
  consumer.pull({ wait: 10_000 });
  world.clock.advance(5_000);
  expect(consumer.bodies()).toEqual(["0*"]);
});

test("a pull waits as long as it asks for, and is answered once", () => {
  const world = worldWith(0);
  const consumer = new TestConsumer(world, "t");
  consumer.pull({ wait: 2_000 });
  consumer.pull({ wait: 1_000 });
  world.clock.advance(1_000);
  const early = consumer.take().at(-1);
  expect(early).toEqual({ oneofKind: "empty", empty: { pullId: 2 } });
  new TestProducer(world, "t").send([message(1, "a")]);
  world.clock.advance(5_000);
  expect(consumer.bodies()).toEqual(["a"]);
});

test("64 pulls may wait, the next ends the stream", () => {
  const world = worldWith(0);
  const consumer = new TestConsumer(world, "t");
  const standby = new TestConsumer(world, "t", "standby");
  for (let pull = 0; pull < 64; pull++) {
    consumer.pull({ wait: 1_000 });
    standby.pull({ wait: 1_000 });
  }
  expect(consumer.closed).toBeNull();
  consumer.pull();
  expect(consumer.closed?.code).toBe(4008);
  expect(kinds(standby.take())).toEqual(["opened", "promoted"]);
  standby.pull();
  expect(standby.closed?.code).toBe(4008);
  world.clock.advance(10_000);
});

test("a pull has at least one message, however large, and else no more than it asks for", () => {
  const world = new World();
  const producer = new TestProducer(world, "t");
  producer.send(["a".repeat(100), "b", "c", "d".repeat(100), "e"].map((body, id) => message(id, body)));
  const consumer = new TestConsumer(world, "t");
  expect(consumer.fetch({ bytes: 10 })).toEqual(["a".repeat(100)]);
  expect(consumer.fetch({ bytes: 20 })).toEqual(["b", "c"]);
  expect(consumer.fetch({ max: 1 })).toEqual(["d".repeat(100)]);
});

test("a client that does not read gets nothing more until it does", () => {
  const world = worldWith(3);
  const consumer = new TestConsumer(world, "t");
  consumer.take();
  consumer.link.socket.state = "slow";
  expect(consumer.fetch({ max: 1 })).toEqual(["0"]);
  world.checkMemory();
  expect(consumer.fetch({ max: 1 })).toEqual([]);
  consumer.pull({ max: 1, wait: 1_000 });
  world.clock.advance(1_000);
  expect(kinds(consumer.take())).toEqual(["empty"]);
  consumer.link.drain();
  expect(consumer.bodies()).toEqual(["1"]);
  expect(world.outboundBuffers.total).toBe(0);
});

test("a client whose frame was dropped is closed, and its messages go to the next", () => {
  const world = worldWith(2);
  const consumer = new TestConsumer(world, "t", "shared");
  const other = new TestConsumer(world, "t", "shared");
  consumer.link.socket.state = "full";
  consumer.pull();
  expect(consumer.closed?.code).toBe(4008);
  expect(other.fetch()).toEqual(["0*", "1*"]);
});

test("purge leaves what consumers hold", () => {
  const world = worldWith(5);
  const consumer = new TestConsumer(world, "t", "shared");
  consumer.fetch({ max: 3 });
  consumer.retry(0);
  consumer.retry(1, 1, 1_000);
  new TestProducer(world, "t").send([message(9, "delayed")], { delayMs: 500 });
  const topic = world.broker.topics.get("t")!;
  expect(topic.purge()).toBe(5);
  expect(world.broker.shared.counters.purged).toBe(5);
  expect([topic.backlog.log.count, topic.backlog.leased, topic.ready]).toEqual([1, 1, 0]);
  world.clock.advance(2_000);
  consumer.retry(2);
  expect(consumer.fetch()).toEqual(["2*"]);
});
