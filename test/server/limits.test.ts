/** Limits that users meet: of buffers, of topics, and of clients that do not read. */
import { expect, test } from "bun:test";
import { type ConnectionState, Consumer, Producer, Subscriber } from "../../src/index.ts";
import { type ServerOptions, TinyMQServer } from "../../src/server/index.ts";
import { FaultProxy } from "../proof/proxy.ts";
import { until } from "../proof/until.ts";

const HOST = "127.0.0.1";
const MiB = 1024 * 1024;

async function serve(options: ServerOptions = {}): Promise<TinyMQServer> {
  const server = new TinyMQServer(options);
  await server.start(HOST, 0);
  return server;
}

test("a producer holds no more than maxUnacknowledged, and nothing when all is answered", async () => {
  await using server = await serve();
  const producer = new Producer(HOST, server.port, "buffer", { maxUnacknowledged: "100KiB" });
  await producer.initConn();
  const body = "x".repeat(1_000);
  // Over many of the client's own buffers, none of which may be counted wrongly.
  for (let round = 0; round < 20; round++) {
    const outcomes = await Promise.all(
      Array.from({ length: 300 }, () =>
        producer.send(body).then(
          () => "stored",
          (error) => error.name,
        ),
      ),
    );
    const stored = outcomes.filter((outcome) => outcome === "stored").length;
    expect([...new Set(outcomes)].sort()).toEqual(["SendBufferFull", "stored"]);
    // The limit, and the message that went over it.
    expect(stored).toBe(Math.ceil((100 * 1024) / 1_010));
    expect(producer.unacknowledgedBytes).toBe(0);
  }
  await producer.close();
});

test("more topics than allowed are refused, and room comes back when one is gone", async () => {
  await using server = await serve({ maxTopics: 2, idleTopicTtl: 50 });
  for (const topic of ["one", "two"]) {
    const producer = new Producer(HOST, server.port, topic);
    await producer.initConn();
    await producer.close();
  }
  const third = () => new Consumer(HOST, server.port, "three");
  const error = await third()
    .initConn()
    .catch((thrown) => thrown);
  expect(error).toMatchObject({ name: "InitFailed", code: "RESOURCE_EXHAUSTED" });
  expect(error.message).toContain("max-topics");
  await until("room for a topic", async () => {
    const consumer = third();
    const opened = await consumer.initConn().then(
      () => true,
      () => false,
    );
    await consumer.close();
    return opened;
  });
});

test("a subscriber that does not read for a while misses messages and knows exactly how many", async () => {
  await using server = await serve();
  await using proxy = await FaultProxy.to(() => server.port);
  const subscriber = new Subscriber(HOST, proxy.port, "slow", { buffer: 1_000_000 });
  await subscriber.initConn();
  let seen = 0;
  const watching = (async () => {
    for await (const _ of subscriber) seen += 1;
  })();
  const producer = new Producer(HOST, server.port, "slow", { delivery: "broadcast" });
  await producer.initConn();
  await producer.send("first");
  await until("the first", () => seen === 1);
  proxy.last.pauseDown();
  const body = "x".repeat(10_000);
  // 60 MB: more than all sockets on the way take.
  for (let sent = 0; sent < 6_000; sent += 100) {
    await Promise.all(Array.from({ length: 100 }, () => producer.send(body)));
  }
  proxy.last.resumeDown();
  // Its count comes with the next that is published.
  await until("everything to be seen or missed", async () => {
    await producer.send("one more");
    return subscriber.missed > 0 && seen + subscriber.missed > 6_001;
  });
  await producer.close();
  const total = await publishedOn(server.port, "slow");
  await until("the last", () => seen + subscriber.missed >= total);
  expect(seen + subscriber.missed).toBe(total);
  await subscriber.close();
  await watching;
}, 30_000);

test("subscribers that never read are closed before their buffers cost others their memory", async () => {
  await using server = await serve({ maxMemory: 8 * MiB });
  await using proxy = await FaultProxy.to(() => server.port);
  const closed: (string | undefined)[] = [];
  const subscribers = Array.from(
    { length: 8 },
    () =>
      new Subscriber(HOST, proxy.port, "many", {
        onStateChange: (state: ConnectionState, error) => {
          if (state === "closed") closed.push(error?.code);
        },
      }),
  );
  for (const subscriber of subscribers) await subscriber.initConn();
  for (const link of proxy.links) link.pauseDown();
  const producer = new Producer(HOST, server.port, "many", { delivery: "broadcast" });
  await producer.initConn();
  const body = "x".repeat(10_000);
  const mostInBuffers = async () => Number((await status(server.port)).memoryUsed);
  let most = 0;
  for (let sent = 0; sent < 6_000; sent += 100) {
    await Promise.all(Array.from({ length: 100 }, () => producer.send(body)));
    most = Math.max(most, await mostInBuffers());
  }
  const { connections } = await status(server.port);
  console.log(`8 subscribers that never read: ${connections - 1} are left, ${most} bytes in buffers at most`);
  expect(connections - 1).toBeLessThan(8);
  // A quarter of the cap, and what is published between two looks at it.
  expect(most).toBeLessThan(8 * MiB);
  for (const link of proxy.links) link.resumeDown();
  await producer.close();
  for (const subscriber of subscribers) await subscriber.close();
}, 30_000);

test("delays run by a clock that nobody can set", async () => {
  await using server = await serve();
  const producer = new Producer(HOST, server.port, "clock");
  await producer.initConn();
  await producer.send("soon", 1, { delay: 50 });
  const realNow = Date.now;
  try {
    // Somebody sets the machine's clock back by an hour.
    Date.now = () => realNow() - 3_600_000;
    const consumer = new Consumer(HOST, server.port, "clock");
    await consumer.initConn();
    expect(await consumer.poll({ wait: 5_000 })).toEqual([1, "soon"]);
    await consumer.close();
  } finally {
    Date.now = realNow;
  }
  await producer.close();
});

async function call(port: number, method: string, request: object): Promise<Record<string, unknown>> {
  const response = await fetch(`http://${HOST}:${port}/twirp/tinymq.v1.Admin/${method}`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(request),
  });
  return (await response.json()) as Record<string, unknown>;
}

async function status(port: number): Promise<{ memoryUsed: number; connections: number }> {
  const { memoryUsed, connections } = await call(port, "GetStatus", {});
  return { memoryUsed: Number(memoryUsed), connections: Number(connections) };
}

async function publishedOn(port: number, topic: string): Promise<number> {
  const { counters } = await call(port, "GetTopic", { topic });
  return Number((counters as { published: string }).published);
}
