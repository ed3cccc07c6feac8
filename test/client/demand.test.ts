/** What a consumer asks for: no way of acknowledging makes it stall, and no way of asking exceeds its bounds. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { type ConsumedMessage, Consumer, type ConsumerOptions, Producer } from "../../src/index.ts";
import { TinyMQServer } from "../../src/server/index.ts";
import { FakeClock } from "../support/fake-clock.ts";
import { deliver, FakeServer, failure } from "./fake-server.ts";

describe("with a server", () => {
  let server: TinyMQServer;
  beforeAll(async () => {
    server = new TinyMQServer({ port: 0, maxMemory: "512MiB" });
    await server.start("127.0.0.1", 0);
  });
  afterAll(() => server.stop());

  let topics = 0;
  async function filled(count: number, body = "x") {
    const topic = `demand-${topics++}`;
    const producer = new Producer("127.0.0.1", server.port, topic);
    await producer.initConn();
    await producer.sendBatch(Array.from({ length: count }, (_, id) => ({ id, body })));
    await producer.close();
    return topic;
  }
  async function opened(topic: string, options: ConsumerOptions) {
    const consumer = new Consumer("127.0.0.1", server.port, topic, options);
    await consumer.initConn();
    return consumer;
  }

  /** Takes `count` messages with `inWork` of them in hand; `order` says which is settled next. */
  async function work(
    topic: string,
    count: number,
    inWork: number,
    options: ConsumerOptions,
    settle: (message: ConsumedMessage<string>) => void,
    order: (hand: number) => number,
  ) {
    const consumer = await opened(topic, { autoAck: false, ...options });
    const seen = new Set<number>();
    const hand: ConsumedMessage<string>[] = [];
    for await (const message of consumer) {
      seen.add(message.offset);
      hand.push(message);
      if (hand.length === inWork) settle(hand.splice(order(hand.length), 1)[0]!);
      if (seen.size === count) break;
    }
    for (const message of hand) message.ack();
    await consumer.stop();
    return seen.size;
  }

  const ORDERS: [string, (hand: number) => number][] = [
    ["oldest first", () => 0],
    ["newest first", (hand) => hand - 1],
    ["the middle", (hand) => hand >> 1],
  ];
  const CASES: [ConsumerOptions, number, number][] = [
    [{ mode: "shared" }, 200, 40],
    [{ prefetch: 10 }, 100, 10],
    [{ prefetch: 10 }, 100, 7],
    [{ prefetch: 1 }, 20, 1],
    [{ prefetch: 3 }, 30, 3],
    [{ prefetch: 3, mode: "shared" }, 30, 2],
    [{}, 5_000, 2_048],
  ];
  for (const [options, count, inWork] of CASES) {
    test(`${JSON.stringify(options)}, ${inWork} in work`, async () => {
      for (const [, order] of ORDERS) {
        const topic = await filled(count);
        expect(await work(topic, count, inWork, options, (message) => message.ack(), order)).toBe(count);
        const after = await opened(topic, {});
        expect(await after.poll()).toBeNull();
        await after.close();
      }
    });
  }

  test("reject() and retry() make room, too", async () => {
    const topic = await filled(100);
    const reject = (message: ConsumedMessage<string>) => message.reject("no");
    expect(await work(topic, 100, 10, { prefetch: 10 }, reject, () => 0)).toBe(100);
    const dead = await opened(`${topic}.dead`, { autoAck: false, prefetch: 5, mode: "shared" });
    let count = 0;
    const again: ConsumedMessage<string>[] = [];
    for await (const message of dead) {
      if (message.attempt === 1) again.push(message);
      else message.ack();
      if (again.length === 5) for (const one of again.splice(0)) one.retry();
      count += message.attempt === 2 ? 1 : 0;
      if (count === 90) break;
    }
    await dead.close();
  });

  test("several loops share a small prefetch", async () => {
    for (const options of [
      { prefetch: 2 },
      { prefetch: 10, autoAck: false },
      { mode: "shared" },
    ] as ConsumerOptions[]) {
      const topic = await filled(200);
      const consumer = await opened(topic, options);
      let seen = 0;
      const worker = async () => {
        for await (const message of consumer) {
          await Promise.resolve();
          message.ack();
          seen += 1;
          if (seen === 200) void consumer.stop();
        }
      };
      await Promise.all([worker(), worker(), worker(), worker()]);
      expect(seen).toBe(200);
      await consumer.stop();
    }
  });

  test("polls never hold more than `prefetch`, at once or one after the other", async () => {
    const topic = await filled(20);
    const consumer = await opened(topic, { prefetch: 3, autoAck: false });
    const held = await Promise.all(Array.from({ length: 10 }, () => consumer.poll()));
    expect(held.filter((message) => message !== null)).toHaveLength(3);
    expect(await consumer.poll({ wait: 20 })).toBeNull();
    const waiting = consumer.poll({ wait: "5s" });
    consumer.ack();
    expect(await waiting).toEqual([3, "x"]);
    const other = await opened(await filled(20), { prefetch: 3 });
    for (let id = 0; id < 20; id++) expect(await other.poll()).toEqual([id, "x"]);
    await Promise.all([consumer.close(), other.close()]);
  });

  test("a slow consumer of large bodies holds 16 MiB, and goes on", async () => {
    const size = 900_000;
    const topic = await filled(60, "x".repeat(size));
    const consumer = await opened(topic, { autoAck: false });
    const hand: ConsumedMessage<string>[] = [];
    const loop = consumer[Symbol.asyncIterator]();
    const parts = { hand: 0 };
    void (async () => {
      for (;;) {
        const { value, done } = await loop.next();
        if (done) return;
        hand.push(value);
        parts.hand += 1;
      }
    })();
    let before = -1;
    while (parts.hand !== before || parts.hand === 0) {
      before = parts.hand;
      await Bun.sleep(100);
    }
    expect(parts.hand * size).toBeLessThanOrEqual(16 * 1024 * 1024);
    expect(parts.hand).toBeGreaterThanOrEqual(12);
    while (parts.hand < 60) {
      if (hand.length > 10) hand.pop()!.ack();
      await Bun.sleep(1);
    }
    await consumer.close();
    const one = await opened(topic, { prefetchBytes: 1 });
    expect((await one.poll())?.[1]).toHaveLength(size);
    expect((await one.poll())?.[1]).toHaveLength(size);
    await one.close();
  });

  test("two idle shared consumers share what comes; a slow one does not keep it from a fast one", async () => {
    for (const slow of [false, true]) {
      const topic = `share-${slow}`;
      const consumers = [await opened(topic, { mode: "shared" }), await opened(topic, { mode: "shared" })];
      const seen = [0, 0];
      let release = () => {};
      const released = new Promise<void>((resolve) => {
        release = resolve;
      });
      const loops = consumers.map(async (consumer, index) => {
        for await (const _ of consumer) {
          seen[index]! += 1;
          if (seen[0]! + seen[1]! === 60) {
            release();
            for (const one of consumers) void one.close();
          }
          // The slow one works on one message for as long as the other has something to do.
          if (slow && index === 0) await Promise.race([released, Bun.sleep(1_000)]);
        }
      });
      const producer = new Producer("127.0.0.1", server.port, topic);
      await producer.initConn();
      await Bun.sleep(20);
      await producer.sendBatch(Array.from({ length: 60 }, () => ({ body: "x" })));
      await Promise.all(loops);
      if (slow) expect(seen[0]).toBeLessThanOrEqual(4);
      else for (const count of seen) expect(count).toBeGreaterThanOrEqual(20);
      await producer.close();
    }
  });
});

describe("on the wire", () => {
  let server: FakeServer;
  beforeEach(() => {
    server = new FakeServer();
  });
  afterEach(() => server.stop());

  async function connected(options: ConsumerOptions = {}, deadAfterMs = 45_000) {
    const clock = new FakeClock();
    const consumer = new Consumer("127.0.0.1", server.port, "t", { internals: { clock }, ...options });
    const [{ stream }] = await Promise.all([
      server.consume({ limits: { deadAfterMs } }),
      consumer.initConn(),
    ]);
    return { consumer, stream, clock };
  }

  test("a poll whose own pull was answered for another one asks again", async () => {
    const { consumer, stream } = await connected();
    const polls = [consumer.poll(), consumer.poll()];
    const pulls = [await stream.expect("pull"), await stream.expect("pull")];
    // The second pull's message goes to the first poll.
    deliver(stream, pulls[1]!.pullId, 0, ["a"]);
    expect(await polls[0]).toEqual([0, "a"]);
    const third = await stream.expect("pull");
    stream.send({ oneofKind: "empty", empty: { pullId: pulls[0]!.pullId } });
    stream.send({ oneofKind: "empty", empty: { pullId: third.pullId } });
    expect(await polls[1]).toBeNull();
  });

  test("shared consumers begin with little, ask for more while they are fast, and for one while slow", async () => {
    const { consumer, stream, clock } = await connected({ mode: "shared" });
    const loop = consumer[Symbol.asyncIterator]();
    let next = loop.next();
    let position = 0;
    const asked: number[] = [];
    const pulls: { pullId: number; maxMessages: number }[] = [];
    /** Answers the oldest pull whole, and takes all of it; `eachMs` is what each takes. */
    const round = async (eachMs: number) => {
      while (stream.frames.length > 0 || pulls.length === 0) {
        const frame = await stream.take();
        if (frame.oneofKind === "pull") pulls.push(frame.pull);
      }
      const { pullId, maxMessages } = pulls.shift()!;
      asked.push(maxMessages);
      deliver(
        stream,
        pullId,
        position,
        Array.from({ length: maxMessages }, () => "x"),
      );
      position += maxMessages;
      for (let count = 0; count < maxMessages; count++) {
        await next;
        clock.advance(eachMs);
        next = loop.next();
      }
    };
    for (let count = 0; count < 80; count++) await round(0.001);
    expect(asked.slice(0, 2)).toEqual([1, 1]);
    expect(Math.max(...asked)).toBe(1_024);
    for (let count = 0; count < 30; count++) await round(15);
    expect(asked.at(-1)).toBe(1);
    await consumer.close();
    expect(await next).toMatchObject({ done: true });
  });

  test("what an idle shared consumer asks for becomes little again", async () => {
    const { consumer, stream } = await connected({ mode: "shared" });
    const loop = consumer[Symbol.asyncIterator]();
    let next = loop.next();
    let pull = await stream.expect("pull");
    for (let position = 0; pull.maxMessages < 32; ) {
      deliver(
        stream,
        pull.pullId,
        position,
        Array.from({ length: pull.maxMessages }, () => "x"),
      );
      position += pull.maxMessages;
      for (let count = 0; count < pull.maxMessages; count++) {
        await next;
        next = loop.next();
      }
      pull = await stream.expect("pull");
    }
    // It waits no longer for much than a moment.
    expect(pull.waitMs).toBe(1_000);
    stream.send({ oneofKind: "empty", empty: { pullId: pull.pullId } });
    let last = await stream.expect("pull");
    while (last.maxMessages > 1) {
      stream.send({ oneofKind: "empty", empty: { pullId: last.pullId } });
      last = await stream.expect("pull");
    }
    expect(last.waitMs).toBe(60_000);
    await consumer.close();
    await next;
  });

  test("no poll outlasts its wait, whatever the server does", async () => {
    const { consumer, stream, clock } = await connected({ reconnect: { minDelay: 1, maxDelay: 1 } });
    const waiting = consumer.poll({ wait: "2s" });
    const impatient = failure(consumer.poll());
    await stream.expect("pull");
    clock.advance(2_000);
    expect(await waiting).toBeNull();
    clock.advance(3_000);
    expect(await impatient).toMatchObject({ code: "DEADLINE_EXCEEDED" });
    // The connection is lost, and does not come back.
    stream.cut();
    while (consumer.state !== "reconnecting") await Bun.sleep(1);
    const again = consumer.poll({ wait: 500 });
    const plain = failure(consumer.poll());
    await server.stop();
    clock.advance(500);
    expect(await again).toBeNull();
    clock.advance(5_000);
    expect(await plain).toMatchObject({ code: "DEADLINE_EXCEEDED" });
    await consumer.close();
  });

  test("a long wait is asked for again, a minute at a time", async () => {
    const { consumer, stream, clock } = await connected({}, 10_000_000);
    const poll = consumer.poll({ wait: "30d" });
    for (let minute = 0; minute < 3; minute++) {
      let frame = await stream.take();
      while (frame.oneofKind === "heartbeat") frame = await stream.take();
      if (frame.oneofKind !== "pull") throw new Error(`a ${frame.oneofKind}`);
      const { pull } = frame;
      expect(pull.waitMs).toBe(60_000);
      clock.advance(60_000);
      stream.send({ oneofKind: "empty", empty: { pullId: pull.pullId } });
    }
    let last = await stream.take();
    while (last.oneofKind !== "pull") last = await stream.take();
    deliver(stream, last.pull.pullId, 0, ["a"]);
    expect(await poll).toEqual([0, "a"]);
    await consumer.close();
  });

  test("a loop that is left while it waits swallows nothing, and who asks again misses nothing", async () => {
    const { consumer, stream } = await connected();
    const left = consumer[Symbol.asyncIterator]();
    const step = left.next();
    const pull = await stream.expect("pull");
    expect(await left.return!()).toMatchObject({ done: true });
    expect(await step).toMatchObject({ done: true });
    const loop = consumer[Symbol.asyncIterator]();
    // Ten races against a timer, and then a message.
    const races = Array.from({ length: 10 }, () => loop.next());
    deliver(stream, pull.pullId, 0, ["a"]);
    expect((await races[0])!.value.body).toBe("a");
    for (const race of races) expect(race).toBe(races[0]!);
    await consumer.close();
  });

  test("what is handed out is told: with acknowledgements, and before a message that may be fatal", async () => {
    const { consumer, stream, clock } = await connected({ autoAck: false });
    const loop = consumer[Symbol.asyncIterator]();
    const next = loop.next();
    const pull: { pullId: number } = await stream.expect("pull");
    const second = await stream.expect("pull");
    deliver(stream, pull.pullId, 0, ["a", "b", "c"]);
    await next;
    await loop.next();
    expect(stream.handed).toEqual([]);
    clock.advance(25);
    while (stream.handed.length === 0) await Bun.sleep(1);
    expect(stream.handed).toEqual([2]);
    const third = await loop.next();
    third.value.ack();
    const fatal = loop.next();
    deliver(stream, second.pullId, 3, ["d"], 1);
    // No time passes: a program that dies now was told of.
    expect((await fatal).value).toMatchObject({ body: "d", redelivered: true, attempt: 2 });
    while (stream.handed.length === 1) await Bun.sleep(1);
    expect(stream.handed).toEqual([2, 4]);
    // So was what is acknowledged: or the next crash would condemn it, too.
    expect(await stream.expect("settle")).toMatchObject({ position: 2, count: 1 });
    await consumer.close();
  });
});
