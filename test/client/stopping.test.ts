/** How a consumer ends: what is acknowledged arrives, or the program is told that it may not have. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import type { OpenSocket } from "../../src/client/sockets/socket.ts";
import { openWebSocket } from "../../src/client/sockets/socket-web.ts";
import {
  adminClient,
  type ConsumedMessage,
  Consumer,
  type ConsumerOptions,
  DeadConnectionUsed,
  OutcomeUnknown,
  Producer,
} from "../../src/index.ts";
import { TinyMQServer } from "../../src/server/index.ts";
import { FakeClock } from "../support/fake-clock.ts";
import { deliver, FakeServer, failure } from "./fake-server.ts";

describe("with a server", () => {
  let server: TinyMQServer;
  beforeAll(async () => {
    server = new TinyMQServer({ port: 0, maxDeliveries: 2 });
    await server.start("127.0.0.1", 0);
  });
  afterAll(() => server.stop());

  async function filled(topic: string, count: number) {
    const producer = new Producer("127.0.0.1", server.port, topic);
    await producer.initConn();
    await producer.sendBatch(Array.from({ length: count }, (_, id) => ({ id, body: `${id}` })));
    await producer.close();
  }
  async function opened(topic: string, options: ConsumerOptions = {}) {
    const consumer = new Consumer("127.0.0.1", server.port, topic, options);
    await consumer.initConn();
    return consumer;
  }
  async function rest(topic: string) {
    const consumer = await opened(topic);
    const bodies: string[] = [];
    for (let message = await consumer.poll(); message !== null; message = await consumer.poll())
      bodies.push(message[1]);
    await consumer.stop();
    return bodies;
  }

  test("stop() ends a working loop after its message, and acknowledges that", async () => {
    await filled("working", 5);
    const consumer = await opened("working");
    const seen: string[] = [];
    let stopped: Promise<void> | undefined;
    for await (const message of consumer) {
      seen.push(message.body);
      if (message.body === "2") {
        stopped = consumer.stop();
        await Bun.sleep(20);
      }
    }
    await stopped;
    expect(seen).toEqual(["0", "1", "2"]);
    expect(await rest("working")).toEqual(["3", "4"]);
  });

  test("stop() ends idle loops and polls at once, and several loops each after its own message", async () => {
    const idle = await opened("idle");
    const step = idle[Symbol.asyncIterator]().next();
    const poll = idle.poll({ wait: "1h" });
    expect(idle.stop()).toBe(idle.stop());
    expect(await step).toMatchObject({ done: true });
    expect(await poll).toBeNull();
    await idle.stop();
    expect(idle.state).toBe("closed");
    expect(await failure(idle.poll())).toBeInstanceOf(DeadConnectionUsed);
    await filled("several", 20);
    const several = await opened("several");
    let seen = 0;
    const loops = Array.from({ length: 4 }, async () => {
      for await (const _ of several) {
        seen += 1;
        await Bun.sleep(5);
      }
    });
    while (seen < 4) await Bun.sleep(1);
    await several.stop();
    await Promise.all(loops);
    expect(await rest("several")).toHaveLength(20 - seen);
  });

  test("stop() waits for what was handed out where the program acknowledges", async () => {
    await filled("by hand", 6);
    const consumer = await opened("by hand", { autoAck: false });
    const working: Promise<void>[] = [];
    for await (const message of consumer) {
      working.push(Bun.sleep(30).then(() => message.ack()));
      if (working.length === 6) break;
    }
    await consumer.stop();
    await Promise.all(working);
    expect(await rest("by hand")).toEqual([]);
    await filled("never", 1);
    const never = await opened("never", { autoAck: false });
    await never.poll();
    expect(await failure(never.stop({ timeout: 20 }))).toMatchObject({ code: "DEADLINE_EXCEEDED" });
    expect(never.state).toBe("closed");
    // Its program had it, and ended well.
    expect(await rest("never")).toEqual(["0"]);
  });

  test("close() with autoAck: false sends what is acknowledged, and returns the rest", async () => {
    await filled("close", 5);
    const consumer = await opened("close", { autoAck: false });
    const messages: ConsumedMessage<string>[] = [];
    for await (const message of consumer) {
      messages.push(message);
      if (messages.length === 4) break;
    }
    messages[2]!.ack();
    messages[0]!.ack();
    await consumer.close();
    const next = await opened("close");
    const returned: [string, boolean, number][] = [];
    for await (const { body, redelivered, attempt } of next) {
      returned.push([body, redelivered, attempt]);
      if (returned.length === 3) void next.stop();
    }
    await next.stop();
    // 4 was fetched by the first consumer and not handed out. It ended well: no delivery is counted.
    expect(returned).toEqual([
      ["1", true, 1],
      ["3", true, 1],
      ["4", true, 1],
    ]);
  });

  test("flush() resolves when the server has settled", async () => {
    await filled("flush", 3);
    const consumer = await opened("flush");
    await consumer.flush();
    await consumer.poll();
    await consumer.poll();
    consumer.ack();
    await consumer.flush();
    const { ready, unacked } = await adminClient("127.0.0.1", server.port).getTopic({ topic: "flush" })
      .response;
    expect([ready, unacked]).toEqual([0, 1]);
    await consumer.close();
    expect(await rest("flush")).toEqual(["2"]);
  });

  test("after close() acknowledging throws", async () => {
    await filled("late", 1);
    const consumer = await opened("late");
    const { value: message } = await consumer[Symbol.asyncIterator]().next();
    await consumer.close();
    expect(() => message.ack()).toThrow(DeadConnectionUsed);
    expect(() => message.retry()).toThrow(DeadConnectionUsed);
    expect(() => message.reject("no")).toThrow(DeadConnectionUsed);
    expect(() => consumer.ack()).toThrow(DeadConnectionUsed);
    await consumer.stop();
    expect(await rest("late")).toEqual(["0"]);
  });

  test("attempts are counted, and the reason of the last retry is in the dead letter", async () => {
    await filled("attempts", 1);
    const consumer = await opened("attempts");
    const attempts: number[] = [];
    void (async () => {
      for await (const message of consumer) {
        attempts.push(message.attempt);
        message.retry({ reason: `try ${message.attempt}` });
      }
    })();
    const dead = await opened("attempts.dead");
    const { value: letter } = await dead[Symbol.asyncIterator]().next();
    expect(attempts).toEqual([1, 2]);
    expect(Object.values(letter.headers).join()).toContain("try 2");
    await Promise.all([consumer.close(), dead.close()]);
  });
});

test("a program that dies takes with it what it was handed, and nothing that was prefetched", async () => {
  const server = new TinyMQServer({ port: 0, maxDeliveries: 1 });
  await server.start("127.0.0.1", 0);
  const producer = new Producer("127.0.0.1", server.port, "deaths");
  await producer.initConn();
  await producer.sendBatch(Array.from({ length: 10 }, (_, id) => ({ id, body: `${id}` })));
  let kill = () => {};
  const openSocket: OpenSocket = (url, protocol, tls, events) => {
    const socket = openWebSocket(url, protocol, tls, events);
    kill = () => socket.terminate();
    return socket;
  };
  const victim = new Consumer("127.0.0.1", server.port, "deaths", { internals: { openSocket } });
  await victim.initConn();
  expect(await victim.poll()).toEqual([0, "0"]);
  // Told within 50 ms, and taken.
  await Bun.sleep(100);
  kill();
  // The lock is free when the server has seen the end; a standby waits for it.
  const next = new Consumer("127.0.0.1", server.port, "deaths", { mode: "standby" });
  await next.initConn();
  const seen: [string, number][] = [];
  for await (const message of next) {
    seen.push([message.body, message.attempt]);
    if (seen.length === 9) void next.stop();
  }
  await next.stop();
  expect(seen).toEqual(Array.from({ length: 9 }, (_, id) => [`${id + 1}`, 1]));
  const dead = new Consumer("127.0.0.1", server.port, "deaths.dead");
  await dead.initConn();
  expect(await dead.poll({ wait: "1s" })).toEqual([0, "0"]);
  await Promise.all([victim.close(), producer.close(), dead.close()]);
  await server.stop();
});

describe("on the wire", () => {
  let server: FakeServer;
  beforeEach(() => {
    server = new FakeServer();
  });
  afterEach(() => server.stop());

  async function working(options: ConsumerOptions = {}) {
    const consumer = new Consumer("127.0.0.1", server.port, "t", options);
    const [{ stream }] = await Promise.all([server.consume(), consumer.initConn()]);
    const poll = consumer.poll();
    deliver(stream, (await stream.expect("pull")).pullId, 0, ["a", "b", "c"]);
    await poll;
    return { consumer, stream };
  }

  test("flush() waits for the count of the server, and rejects once where the connection is lost before", async () => {
    const { consumer, stream } = await working({ reconnect: { minDelay: 1, maxDelay: 1 } });
    consumer.ack();
    let flushed = false;
    const flush = consumer.flush().then(() => {
      flushed = true;
    });
    expect(await stream.expect("ack")).toEqual({ count: 1 });
    await consumer.poll();
    consumer.ack();
    const second = failure(consumer.flush());
    await stream.expect("ack");
    expect(flushed).toBe(false);
    stream.send({ oneofKind: "settled", settled: { count: 1 } });
    await flush;
    stream.cut();
    expect(await second).toBeInstanceOf(OutcomeUnknown);
    await server.consume();
    await consumer.flush();
    await consumer.close();
  });

  test("flush() after close() resolves where the server has answered that, and only there", async () => {
    const well = await working();
    well.consumer.ack();
    const pending = well.consumer.flush();
    const closed = well.consumer.close();
    await well.consumer.flush();
    await Promise.all([pending, closed]);
    await well.consumer.flush();
    const cut = await working();
    cut.consumer.ack();
    const told = failure(cut.consumer.flush());
    const ended = cut.consumer.close();
    cut.stream.cut();
    await ended;
    expect(await told).toBeInstanceOf(OutcomeUnknown);
    await cut.consumer.flush();
  });

  /** A consumer that is connected again, after a connection was lost with an acknowledgement that nobody confirmed. */
  async function withLoss() {
    const { consumer, stream } = await working({ reconnect: { minDelay: 1, maxDelay: 1 } });
    consumer.ack();
    stream.cut();
    await server.consume();
    while (consumer.state !== "open") await Bun.sleep(1);
    return consumer;
  }

  test("who did not wait is told by the next flush(), and by stop()", async () => {
    const consumer = await withLoss();
    expect(await failure(consumer.flush())).toBeInstanceOf(OutcomeUnknown);
    await consumer.flush();
    const other = await working();
    other.consumer.ack();
    const stopped = failure(other.consumer.stop());
    await other.stream.expect("ack");
    other.stream.cut();
    expect(await stopped).toBeInstanceOf(OutcomeUnknown);
    await consumer.close();
  });

  test("stop() does not tell of losses before it: those messages came again", async () => {
    const consumer = await withLoss();
    await consumer.stop();
  });

  test.each([{ reconnect: { minDelay: 1, maxDelay: 1 } }, {}])(
    "stop() waits for the message in hand though the connection is lost meanwhile, and tells: %j",
    async (options) => {
      const consumer = new Consumer("127.0.0.1", server.port, "t", options);
      const [{ stream }] = await Promise.all([server.consume(), consumer.initConn()]);
      let finish = () => {};
      const work = new Promise<void>((resolve) => {
        finish = resolve;
      });
      const taken = Promise.withResolvers<void>();
      const loop = (async () => {
        for await (const _ of consumer) {
          taken.resolve();
          await work;
        }
      })();
      deliver(stream, (await stream.expect("pull")).pullId, 0, ["a"]);
      await taken.promise;
      let ended = false;
      const stopped = failure(consumer.stop()).finally(() => {
        ended = true;
      });
      stream.cut();
      while (consumer.state === "open") await Bun.sleep(1);
      expect(ended).toBe(false);
      finish();
      await loop;
      expect(await stopped).toBeInstanceOf(OutcomeUnknown);
    },
  );

  test("where nobody awaits stop(), its error ends no program", async () => {
    const clock = new FakeClock();
    const { consumer } = await working({ autoAck: false, internals: { clock } });
    void consumer.stop({ timeout: "1s" });
    clock.advance(1_000);
    // As a runtime does it: unhandled rejections are looked for once all microtasks ran.
    await Bun.sleep(1);
    expect((await failure(consumer.stop())).code).toBe("DEADLINE_EXCEEDED");
  });

  test("a reason that no frame could carry is cut, and the stream goes on", async () => {
    const consumer = new Consumer("127.0.0.1", server.port, "t");
    const [{ stream }] = await Promise.all([server.consume(), consumer.initConn()]);
    const loop = consumer[Symbol.asyncIterator]();
    const next = loop.next();
    deliver(stream, (await stream.expect("pull")).pullId, 0, ["a"]);
    await stream.expect("pull");
    (await next).value.reject("é".repeat(2_000_000));
    const settle = await stream.expect("settle");
    expect(Buffer.byteLength(settle.reason)).toBe(1_024);
    await consumer.close();
  });

  test("a server that never confirms does not keep stop() from ending", async () => {
    const clock = new FakeClock();
    const { consumer, stream } = await working({ internals: { clock } });
    consumer.ack();
    const stopped = failure(consumer.stop({ timeout: "1s" }));
    await stream.expect("ack");
    clock.advance(1_000);
    expect(await stopped).toBeInstanceOf(OutcomeUnknown);
    expect(consumer.state).toBe("closed");
    await stream.expect("finish");
  });
});
