/** The client and the real server. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import {
  adminClient,
  type ConsumedMessage,
  Consumer,
  InitFailed,
  json,
  Producer,
  QueueFull,
  Subscriber,
  Unauthenticated,
} from "../../src/index.ts";
import { TinyMQServer } from "../../src/server/index.ts";
import { failure } from "./fake-server.ts";

let server: TinyMQServer;
beforeAll(async () => {
  server = new TinyMQServer({ port: 0 });
  await server.start("127.0.0.1", 0);
});
afterAll(() => server.stop());

async function pair<T = string>(topic: string, options: object = {}) {
  const producer = new Producer<T>("127.0.0.1", server.port, topic, options);
  const consumer = new Consumer<T>("127.0.0.1", server.port, topic, options);
  await Promise.all([producer.initConn(), consumer.initConn()]);
  return { producer, consumer, close: () => Promise.all([producer.close(), consumer.close()]) };
}

test("after await send() a poll finds the message", async () => {
  const { producer, consumer, close } = await pair("basic");
  expect(await consumer.poll()).toBeNull();
  for (let id = 0; id < 50; id++) {
    await producer.send(`m${id}`, id);
    expect(await consumer.poll()).toEqual([id, `m${id}`]);
  }
  expect(await consumer.poll()).toBeNull();
  await close();
});

test("very many messages settled here and there are all told to the server, in frames that it takes", async () => {
  const producer = new Producer("127.0.0.1", server.port, "holes");
  const options = { autoAck: false, mode: "shared", prefetch: 20_000 } as const;
  const consumer = new Consumer("127.0.0.1", server.port, "holes", options);
  await Promise.all([producer.initConn(), consumer.initConn()]);
  const count = 18_000;
  await producer.sendBatch(Array.from({ length: count }, (_, id) => ({ id, body: "" })));
  const held: ConsumedMessage<string>[] = [];
  for await (const message of consumer) if (held.push(message) === count) break;
  // 9,000 holes: more than one frame may tell, and no more than one consumer may hold.
  for (let index = 0; index < count; index += 2) held[index]!.ack();
  // Its pull tells.
  expect(await consumer.poll()).toBeNull();
  await consumer.flush();
  for (let index = 1; index < count; index += 2) held[index]!.ack();
  await consumer.flush();
  const { counters } = await adminClient("127.0.0.1", server.port).getTopic({ topic: "holes" }).response;
  expect(counters).toMatchObject({ acked: count, redelivered: 0 });
  await Promise.all([producer.close(), consumer.close()]);
});

test("order and content hold over many messages, by poll and by loop", async () => {
  const { producer, consumer, close } = await pair("many");
  const count = 20_000;
  for (const way of ["poll", "loop"]) {
    const sending = producer.sendBatch(
      (function* () {
        for (let id = 0; id < count; id++)
          yield { id, body: `${way} ${id}`, headers: id % 100 ? undefined : { n: `${id}` } };
      })(),
    );
    let next = 0;
    if (way === "poll") {
      while (next < count) {
        const message = await consumer.poll({ wait: "1s" });
        expect(message).toEqual([next, `poll ${next}`]);
        next += 1;
      }
    } else {
      for await (const message of consumer) {
        if (message.id !== next || message.body !== `loop ${next}`)
          throw new Error(`out of order at ${next}`);
        if (next % 100 === 0) expect({ ...message.headers }).toEqual({ n: `${next}` });
        next += 1;
        if (next === count) break;
      }
    }
    await sending;
    consumer.ack();
  }
  await consumer.close();
  const after = new Consumer("127.0.0.1", server.port, "many");
  await after.initConn();
  expect(await after.poll()).toBeNull();
  await after.close();
  await close();
});

test("what was not acknowledged comes again, marked", async () => {
  const { producer, consumer, close } = await pair("again");
  await producer.sendBatch([{ body: "a" }, { body: "b" }, { body: "c" }]);
  await consumer.poll();
  await consumer.poll();
  await consumer.close();
  const second = new Consumer("127.0.0.1", server.port, "again");
  await second.initConn();
  const seen: [string, boolean][] = [];
  for await (const message of second) {
    seen.push([message.body, message.redelivered]);
    if (message.body === "b" && seen.length === 1) message.retry();
    if (seen.length === 3) break;
  }
  expect(seen.map(([body]) => body)).toEqual(["b", "b", "c"]);
  expect(seen.map(([, redelivered]) => redelivered)).toEqual([true, true, true]);
  await second.close();
  await close();
});

test("exclusive, standby, shared", async () => {
  const { producer, consumer, close } = await pair("modes");
  const at = (mode: "exclusive" | "standby" | "shared") =>
    new Consumer("127.0.0.1", server.port, "modes", { mode });
  expect(await failure(at("exclusive").initConn())).toBeInstanceOf(InitFailed);
  expect(await failure(at("shared").initConn())).toBeInstanceOf(InitFailed);
  const standby = at("standby");
  await standby.initConn();
  expect(standby.state).toBe("standby");
  const poll = standby.poll();
  await producer.send("a", 1);
  await consumer.close();
  expect(await poll).toEqual([1, "a"]);
  expect(standby.state).toBe("open");
  standby.ack();
  await standby.close();
  const shared = [at("shared"), at("shared")];
  await Promise.all(shared.map((one) => one.initConn()));
  await producer.sendBatch(Array.from({ length: 100 }, (_, id) => ({ id, body: "" })));
  const seen: number[] = [];
  await Promise.all(
    shared.map(async (one) => {
      for await (const message of one) {
        seen.push(message.id);
        // Ends both loops.
        if (seen.length === 100) for (const other of shared) void other.close();
      }
    }),
  );
  expect(new Set(seen).size).toBe(100);
  await close();
});

test("dead letters, delays, ttl, unique", async () => {
  const { producer, consumer, close } = await pair("options");
  const unique = new Producer("127.0.0.1", server.port, "options", { unique: "1m" });
  await unique.initConn();
  await unique.send("once", 7);
  await unique.send("twice", 7);
  await producer.send("late", 8, { delay: 30 });
  await producer.send("gone", 9, { ttl: 1 });
  await Bun.sleep(5);
  expect(await consumer.poll()).toEqual([7, "once"]);
  expect(await consumer.poll()).toBeNull();
  const next = (await consumer[Symbol.asyncIterator]().next()).value as ConsumedMessage<string>;
  expect(next.body).toBe("late");
  next.reject("too late");
  const dead = new Consumer("127.0.0.1", server.port, "options.dead");
  await dead.initConn();
  expect(await dead.poll({ wait: "2s" })).toEqual([8, "late"]);
  await Promise.all([close(), unique.close(), dead.close()]);
});

test("broadcast reaches subscribers", async () => {
  const subscriber = new Subscriber<{ n: number }>("127.0.0.1", server.port, "news", {
    codec: json<{ n: number }>(),
  });
  await subscriber.initConn();
  const producer = new Producer<{ n: number }>("127.0.0.1", server.port, "news", {
    codec: json<{ n: number }>(),
    delivery: "broadcast",
  });
  await producer.initConn();
  await Promise.all([producer.send({ n: 1 }), producer.send({ n: 2 })]);
  const seen: number[] = [];
  for await (const { body } of subscriber) {
    seen.push(body.n);
    if (seen.length === 2) break;
  }
  expect(seen).toEqual([1, 2]);
  expect(subscriber.missed).toBe(0);
  await Promise.all([subscriber.close(), producer.close()]);
});

test("a full server says QueueFull; a token is asked for; the admin client works", async () => {
  const small = new TinyMQServer({ maxMemory: "2MiB", token: "secret" });
  await small.start("127.0.0.1", 0);
  expect(await failure(new Producer("127.0.0.1", small.port, "t").initConn())).toBeInstanceOf(
    Unauthenticated,
  );
  const producer = new Producer("127.0.0.1", small.port, "t", { token: "secret" });
  await producer.initConn();
  const body = "x".repeat(100_000);
  const results = await Promise.allSettled(Array.from({ length: 40 }, () => producer.send(body)));
  const refused = results.filter((result) => result.status === "rejected");
  expect(refused.length).toBeGreaterThan(0);
  for (const { reason } of refused) expect(reason).toBeInstanceOf(QueueFull);
  const admin = adminClient("127.0.0.1", small.port, { token: "secret" });
  const info = await admin.getTopic({ topic: "t" }).response;
  expect(info.ready).toBe(40 - refused.length);
  expect(await failure(admin.getTopic({ topic: "none" }).response)).toMatchObject({ code: "NOT_FOUND" });
  await producer.close();
  await small.stop();
});
