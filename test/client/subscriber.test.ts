import { afterEach, beforeEach, expect, test } from "bun:test";
import { DeadConnectionUsed, json, Subscriber, type SubscriberOptions } from "../../src/index.ts";
import { batchOf, FakeServer, failure, LIMITS, type SubscribeStream } from "./fake-server.ts";

let server: FakeServer;
beforeEach(() => {
  server = new FakeServer();
});
afterEach(() => server.stop());

async function accept(epoch: string, published: number): Promise<SubscribeStream> {
  const stream = await server.accept<SubscribeStream>();
  expect(await stream.expect("open")).toEqual({ topic: "t", token: "" });
  stream.send({ oneofKind: "opened", opened: { instance: "one", limits: LIMITS, epoch, published } });
  return stream;
}

async function connected(options: SubscriberOptions = {}) {
  const subscriber = new Subscriber("127.0.0.1", server.port, "t", options);
  const [stream] = await Promise.all([accept("e", 5), subscriber.initConn()]);
  return { subscriber, stream };
}

function publish(stream: SubscribeStream, published: number, bodies: string[], epoch = "e"): void {
  const messages = batchOf(published, bodies);
  stream.send({ oneofKind: "published", published: { epoch, published, count: bodies.length, messages } });
}

/** Resolves when the client has read all that was sent before. */
async function seen(subscriber: Subscriber<never>, missed: number): Promise<void> {
  while (subscriber.missed !== missed) await Bun.sleep(1);
}

test("a loop gives what is published, and the count of what was missed is exact", async () => {
  const { subscriber, stream } = await connected();
  const loop = subscriber[Symbol.asyncIterator]();
  const first = loop.next();
  publish(stream, 5, ["a", "b"]);
  expect((await first).value).toMatchObject({ id: 5, body: "a" });
  expect((await loop.next()).value).toMatchObject({ id: 6, body: "b" });
  expect(subscriber.missed).toBe(0);
  publish(stream, 9, ["c"]);
  expect((await loop.next()).value.body).toBe("c");
  expect(subscriber.missed).toBe(2);
  stream.send({ oneofKind: "count", count: { epoch: "e", published: 14 } });
  await seen(subscriber as never, 6);
  await subscriber.close();
  expect((await loop.next()).done).toBe(true);
  expect(await stream.closed).toMatchObject({ code: 1000 });
});

test("a slow loop misses the oldest, and it is counted", async () => {
  const { subscriber, stream } = await connected({ buffer: 3 });
  publish(stream, 5, ["a", "b"]);
  publish(stream, 7, ["c", "d", "e"]);
  await seen(subscriber as never, 2);
  const bodies = [];
  for await (const message of subscriber) {
    bodies.push(message.body);
    if (bodies.length === 3) break;
  }
  expect(bodies).toEqual(["c", "d", "e"]);
});

test("reconnect: what was published meanwhile is missed", async () => {
  const { subscriber, stream } = await connected({ reconnect: { minDelay: 1, maxDelay: 1 } });
  publish(stream, 5, ["a"]);
  const loop = subscriber[Symbol.asyncIterator]();
  expect((await loop.next()).value.body).toBe("a");
  const next = loop.next();
  stream.cut();
  const again = await accept("e", 9);
  publish(again, 9, ["b"]);
  expect((await next).value.body).toBe("b");
  expect(subscriber.missed).toBe(3);
});

test("a body that cannot be decoded is told and counts as missed, and the loop goes on", async () => {
  const told: [string, number][] = [];
  const subscriber = new Subscriber<number>("127.0.0.1", server.port, "t", {
    codec: json<number>(),
    onInvalid: (error, { id }) => told.push([error.code, id]),
  });
  const [stream] = await Promise.all([accept("e", 0), subscriber.initConn()]);
  const loop = subscriber[Symbol.asyncIterator]();
  const waiting = loop.next();
  publish(stream, 0, ["{", "2"]);
  expect((await waiting).value.body).toBe(2);
  publish(stream, 2, ["{"]);
  publish(stream, 3, ["{", "4"]);
  expect((await loop.next()).value.body).toBe(4);
  expect(subscriber.missed).toBe(3);
  expect(told).toEqual([
    ["DATA_LOSS", 0],
    ["DATA_LOSS", 2],
    ["DATA_LOSS", 3],
  ]);
  await subscriber.close();
});

test("a loop that is left while it waits swallows nothing, and who asks again misses nothing", async () => {
  const { subscriber, stream } = await connected();
  const left = subscriber[Symbol.asyncIterator]();
  const step = left.next();
  await left.return!();
  expect(await step).toMatchObject({ done: true });
  const loop = subscriber[Symbol.asyncIterator]();
  const races = Array.from({ length: 10 }, () => loop.next());
  publish(stream, 5, ["a"]);
  for (const race of races) expect((await race).value.body).toBe("a");
  await subscriber.close();
});

test("a lost connection throws out of a loop; close ends it", async () => {
  const { subscriber, stream } = await connected();
  const next = failure(subscriber[Symbol.asyncIterator]().next());
  stream.close(4008, "too slow");
  const error = await next;
  expect(error).toBeInstanceOf(DeadConnectionUsed);
  expect(error.cause).toMatchObject({ code: "RESOURCE_EXHAUSTED", message: "too slow" });
  expect(() => new Subscriber("h", 1, "t", { buffer: 0 })).toThrow("buffer");
});
