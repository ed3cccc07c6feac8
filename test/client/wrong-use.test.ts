/** What a program says wrongly is INVALID_ARGUMENT, names what was wrong, and says what was meant. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { adminClient, Consumer, json, Producer, Subscriber, type TinyMQError } from "../../src/index.ts";
import { TinyMQServer } from "../../src/server/index.ts";

let server: TinyMQServer;
beforeAll(async () => {
  server = new TinyMQServer({ port: 0 });
  await server.start("127.0.0.1", 0);
});
afterAll(() => server.stop());

/** The error of `act`, thrown or rejected. */
async function refused(act: () => unknown): Promise<TinyMQError> {
  try {
    await act();
  } catch (thrown) {
    return thrown as TinyMQError;
  }
  throw new Error(`not refused: ${act}`);
}

type Case = [act: () => unknown, words: string];
const of = <T>(value: T) => value as never;

const OPTIONS: Case[] = [
  [() => new Consumer("h", 1, "t", of({ prefech: 3 })), 'no "prefech"; did you mean prefetch?'],
  [() => new Consumer("h", 1, "t", of({ zzz: 3 })), "use one of codec, mode, prefetch"],
  [() => new Consumer("h", 1, "t", of("shared")), 'such as { token: "secret" }, not "shared"'],
  [() => new Consumer("h", 1, "t", of(null)), "not null"],
  [
    () => new Consumer("h", 1, "t", of({ codec: "json" })),
    'codec must be a codec such as text, bytes or json(), not "json"',
  ],
  [() => new Consumer("h", 1, "t", of({ codec: json })), "not function json"],
  [() => new Consumer("h", 1, "t", of({ codec: { encode() {} } })), "codec must be"],
  [() => new Consumer("h", 1, "t", of({ autoAck: "no" })), 'autoAck must be true or false, not "no"'],
  [() => new Consumer("h", 1, "t", of({ prefetch: "3" })), 'prefetch must be an integer from 1, not "3"'],
  [() => new Consumer("h", 1, "t", { prefetchBytes: 0 }), "prefetchBytes must be an integer from 1"],
  [() => new Consumer("h", 1, "t", of({ onInvalid: 1 })), "onInvalid must be a function, not 1"],
  [() => new Consumer("h", 1, "t", of({ mode: "Shared" })), "mode must be"],
  [() => new Consumer("h", 1, "t", of({ unique: "1m" })), 'no "unique"'],
  [() => new Subscriber("h", 1, "t", of({ prefetch: 3 })), 'no "prefetch"'],
  [() => new Producer("h", 1, "t", of({ tls: { rejectUnauthorised: false } })), "rejectUnauthorized"],
  [() => new Producer("h", 1, "t", of({ tls: "yes" })), "tls must be"],
  [() => new Producer("h", 1, "t", of({ token: 5 })), "token must be a string, not 5"],
  [() => new Producer("h", 1, "t", of({ signal: {} })), "signal must be an AbortSignal"],
  [() => new Producer("h", 1, "t", of({ onStateChange: "log" })), "onStateChange must be a function"],
  [() => new Producer("h", 1, "t", of({ connectTimeout: {} })), "connectTimeout must be a duration"],
  [() => new Producer("h", 1, "t", of({ reconnect: { mindelay: 1 } })), "did you mean minDelay?"],
  [() => new Producer("h", 1, "t", of({ reconnect: "yes" })), "reconnect"],
  [() => new Producer("h", 1, "t", { reconnect: { maxDelay: 0 } }), "maxDelay"],
  [() => new Producer("h", 1, "t", { reconnect: { minDelay: 20, maxDelay: 10 } }), "maxDelay"],
  [() => new Producer("h", 1, "t", { maxUnacknowledged: 0 }), "maxUnacknowledged must be an integer from 1"],
  [() => new Producer("h", 1, "t", { unique: 0 }), "unique must be a duration above 0"],
  [() => new Producer("h", 1, "t", { unique: 1, delivery: "broadcast" }), "`unique` needs delivery queue"],
  [() => new Producer("h", 1, "t", { connectTimeout: 0 }), "connectTimeout must be a duration above 0"],
  [() => new Producer("ws://localhost", 1, "t"), 'such as "localhost", not "ws://localhost"'],
  [() => new Producer("localhost:9800", 1, "t"), "the port is a separate argument"],
  [() => new Producer("localhost/x", 1, "t"), 'not "localhost/x"'],
  [() => new Producer(of(5), 1, "t"), "not 5"],
  [() => new Producer("h", of("9800"), "t"), 'the port must be 1 to 65535, not "9800"'],
  [() => new Producer("h", 1, of(undefined)), "a topic name must have"],
  [() => adminClient("h", 1, of({ tokn: "x" })), "did you mean token?"],
  [() => adminClient("http://h", 1), 'not "http://h"'],
];

for (const [act, words] of OPTIONS) {
  test(act.toString().slice(6), async () => {
    const error = await refused(act);
    expect(error.code).toBe("INVALID_ARGUMENT");
    expect(error.message).toContain(words);
  });
}

test("addresses that are fine", () => {
  for (const host of [
    "localhost",
    "a.b-c_d",
    "127.0.0.1",
    "::1",
    "[::1]",
    "fe80::1%eth0",
    "bücher.example",
  ]) {
    expect(new Producer(host, 1, "t").state).toBe("idle");
  }
});

test("calls", async () => {
  const producer = new Producer("127.0.0.1", server.port, "wrong");
  const any = new Producer<unknown>("127.0.0.1", server.port, "wrong", { codec: json() });
  const unique = new Producer("127.0.0.1", server.port, "wrong", { unique: "1m" });
  const consumer = new Consumer("127.0.0.1", server.port, "wrong");
  await Promise.all([producer, any, unique, consumer].map((one) => one.initConn()));
  const circular: { self?: unknown } = {};
  circular.self = circular;
  await producer.send("x", 1);
  const { value: message } = await consumer[Symbol.asyncIterator]().next();
  const admin = adminClient("127.0.0.1", server.port);
  const calls: Case[] = [
    [() => producer.send("x", 1, of({ dealy: "1s" })), 'send options have no "dealy"; did you mean delay?'],
    [() => producer.send("x", 1, of(5)), 'send options must be an object such as { delay: "1s" }, not 5'],
    [() => producer.send("x", 1, { ttl: 0 }), "ttl must be a duration above 0"],
    [() => producer.send("x", 1, of({ delay: true })), "delay must be a duration"],
    [
      () => producer.send("x", 1, { headers: of(new Map([["a", "b"]])) }),
      "not Map: convert it with Object.fromEntries()",
    ],
    [() => producer.send("x", 1, { headers: of([["a", "b"]]) }), "headers must be an object of strings"],
    [() => producer.send("x", 1, { headers: of(new Headers({ a: "b" })) }), "not Headers"],
    [() => producer.send("x", 1, { headers: of("a") }), "headers must be an object of strings"],
    [() => producer.send("x", 1, { headers: of({ a: 1 }) }), 'header "a" must be a string'],
    [() => producer.send("x", of("1")), "the id must be an integer"],
    [() => any.send(circular), "the codec cannot encode the body"],
    [() => any.send(5n), "the codec cannot encode the body"],
    [() => producer.sendBatch(of(null)), "sendBatch() takes an array or other iterable"],
    [() => producer.sendBatch(of("abc")), "sendBatch() takes an array"],
    [() => producer.sendBatch(of({ body: "x" })), "sendBatch() takes an array"],
    [() => producer.sendBatch(of(["x"])), 'is { body, id, headers }, not "x"'],
    [() => producer.sendBatch(of([null])), "not null"],
    [() => producer.sendBatch(of([{ body: "x", hedaers: {} }])), "did you mean headers?"],
    [() => producer.sendBatch([], of({ dealy: 1 })), "did you mean delay?"],
    [() => unique.send("x"), "with `unique` every message needs an id"],
    [() => unique.sendBatch([{ body: "x" }]), "with `unique` every message needs an id"],
    [() => consumer.poll(of(5_000)), 'poll options must be an object such as { wait: "5s" }, not 5000'],
    [() => consumer.poll(of({ wiat: 5 })), "did you mean wait?"],
    [() => consumer.poll(of({ wait: null })), "wait must be a duration"],
    [() => consumer.stop(of(5)), "stop options must be"],
    [() => message.retry(of({ dely: 5 })), "did you mean delay?"],
    [() => message.retry(of({ reason: 5 })), "reason must be a string, not 5"],
    [() => message.retry({ delay: "25h" }), "at most 24 h"],
    [() => message.reject(of(undefined)), "reject() takes a reason"],
    [() => admin.listTopics(of({ prefx: "a" })).response, "did you mean prefix?"],
    [() => admin.listTopics(of({ prefix: 5 })).response, "wrong type"],
    [() => admin.listTopics(of(5)).response, "must be an object"],
  ];
  for (const [act, words] of calls) {
    const error = await refused(act);
    expect([act.toString(), error.code]).toEqual([act.toString(), "INVALID_ARGUMENT"]);
    expect(error.message).toContain(words);
  }
  // What is left out has its default.
  expect((await admin.listTopics(of({})).response).total).toBeGreaterThan(0);
  // A delay of 0 is none, and an empty list is all stored.
  await producer.send("at once", 2, { delay: 0 });
  await producer.sendBatch([]);
  await Promise.all([producer, any, unique, consumer].map((one) => one.close()));
});
