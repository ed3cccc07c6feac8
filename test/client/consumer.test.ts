import { afterEach, beforeEach, expect, test } from "bun:test";
import {
  type ConsumedMessage,
  Consumer,
  type ConsumerOptions,
  DeadConnectionUsed,
  InitFailed,
  json,
} from "../../src/index.ts";
import { FakeClock } from "../support/fake-clock.ts";
import { type ConsumeStream, deliver, FakeServer, failure } from "./fake-server.ts";

let server: FakeServer;
beforeEach(() => {
  server = new FakeServer();
});
afterEach(() => server.stop());

async function connected(options: ConsumerOptions = {}, opened: Parameters<FakeServer["consume"]>[0] = {}) {
  const consumer = new Consumer("127.0.0.1", server.port, "t", options);
  const [accepted] = await Promise.all([server.consume(opened), consumer.initConn()]);
  return { consumer, ...accepted };
}

const empty = (stream: ConsumeStream, pullId: number) =>
  stream.send({ oneofKind: "empty", empty: { pullId } });
const rewound = (stream: ConsumeStream, position: number) =>
  stream.send({ oneofKind: "rewound", rewound: { position } });
const FAST = { minDelay: 1, maxDelay: 1 };

/** Frames in which the client may acknowledge, until one with `count` came; returns pulls on the way. */
async function ackedUpTo(stream: ConsumeStream, count: number): Promise<number[]> {
  const pulls: number[] = [];
  for (;;) {
    const frame = await stream.take();
    if (frame.oneofKind === "ack" && frame.ack.count === count) return pulls;
    if (frame.oneofKind === "pull") {
      pulls.push(frame.pull.pullId);
      if (frame.pull.ack?.count === count) return pulls;
    }
  }
}

test("the open frame", async () => {
  const { consumer, stream, open } = await connected({ token: "secret", mode: "shared" });
  expect(stream.method).toBe("/tinymq.v1.TinyMQ/Consume");
  expect(open).toMatchObject({ topic: "t", token: "secret", mode: 2 });
  expect(open.consumerId).toHaveLength(16);
  await consumer.close();
  expect(await stream.closed).toMatchObject({ code: 1000 });
});

test("a poll pulls, and is null only by its own empty", async () => {
  const { consumer, stream } = await connected();
  const poll = consumer.poll();
  const pull = await stream.expect("pull");
  expect(pull).toMatchObject({ maxMessages: 1_024, maxBytes: 1024 * 1024, waitMs: 0 });
  empty(stream, pull.pullId);
  expect(await poll).toBeNull();
});

test("polls take from the buffer, and acknowledge what polls returned", async () => {
  const { consumer, stream } = await connected();
  const first = consumer.poll();
  deliver(stream, (await stream.expect("pull")).pullId, 0, ["a", "b"]);
  expect(await first).toEqual([0, "a"]);
  expect(await consumer.poll()).toEqual([1, "b"]);
  const third = consumer.poll();
  const pull = await stream.expect("pull");
  expect(pull.ack?.count).toBe(2);
  empty(stream, pull.pullId);
  expect(await third).toBeNull();
});

test("an acknowledgement is on the wire within 50 ms, without a pull", async () => {
  const clock = new FakeClock();
  const { consumer, stream } = await connected({ internals: { clock } });
  const first = consumer.poll();
  deliver(stream, (await stream.expect("pull")).pullId, 0, ["a", "b", "c"]);
  await first;
  await consumer.poll();
  clock.advance(50);
  expect((await stream.expect("ack")).count).toBe(1);
  await consumer.poll();
  consumer.ack();
  clock.advance(50);
  expect((await stream.expect("ack")).count).toBe(3);
  clock.advance(1_000);
  expect(stream.frames).toHaveLength(0);
});

test("after a backlog the next delivery is asked for ahead of need", async () => {
  const { consumer, stream } = await connected({ prefetch: 128 });
  const first = consumer.poll();
  const pull = await stream.expect("pull");
  expect(pull.maxMessages).toBe(64);
  deliver(
    stream,
    pull.pullId,
    0,
    Array.from({ length: 64 }, (_, index) => `${index}`),
  );
  await first;
  for (let index = 1; index < 40; index++) expect(await consumer.poll()).toEqual([index, `${index}`]);
  const refill = await stream.expect("pull");
  expect(refill).toMatchObject({ maxMessages: 64, waitMs: 0 });
  expect(refill.ack!.count).toBeGreaterThanOrEqual(32);
  empty(stream, refill.pullId);
});

test("a poll waits, and polls at once are answered in their order", async () => {
  const { consumer, stream } = await connected();
  const polls = [consumer.poll({ wait: "1s" }), consumer.poll({ wait: 1_000 }), consumer.poll({ wait: 5 })];
  const pulls = [await stream.expect("pull"), await stream.expect("pull"), await stream.expect("pull")];
  expect(pulls[0]!.waitMs).toBeGreaterThan(900);
  expect(pulls.map((pull) => pull.maxMessages)).toEqual([1_024, 1, 1]);
  empty(stream, pulls[2]!.pullId);
  expect(await polls[2]).toBeNull();
  deliver(stream, pulls[0]!.pullId, 0, ["a", "b"]);
  expect(await Promise.all(polls.slice(0, 2))).toEqual([
    [0, "a"],
    [1, "b"],
  ]);
  // The second poll's pull comes late: it fills the buffer.
  deliver(stream, pulls[1]!.pullId, 2, ["c"]);
  expect(await consumer.poll()).toEqual([2, "c"]);
});

test("more polls at once than pulls are allowed", async () => {
  const { consumer, stream } = await connected({}, { limits: { maxInFlight: 2 } });
  const polls = [consumer.poll(), consumer.poll(), consumer.poll()];
  const first = await stream.expect("pull");
  await stream.expect("pull");
  expect(stream.frames).toHaveLength(0);
  deliver(stream, first.pullId, 0, ["a"]);
  const third = await stream.expect("pull");
  deliver(stream, third.pullId, 1, ["b", "c"]);
  expect((await Promise.all(polls)).map((result) => result?.[1])).toEqual(["a", "b", "c"]);
});

test("a loop keeps pulls waiting, gives messages whole, and coming back acknowledges", async () => {
  const { consumer, stream } = await connected({ prefetch: 4 });
  const loop = consumer[Symbol.asyncIterator]();
  const first = loop.next();
  const pulls = [await stream.expect("pull"), await stream.expect("pull")];
  expect(pulls.map((pull) => pull.maxMessages)).toEqual([2, 2]);
  expect(pulls[0]!.waitMs).toBeGreaterThan(1_000);
  stream.send({
    oneofKind: "delivered",
    delivered: {
      pullId: pulls[0]!.pullId,
      firstPosition: 0,
      runs: [
        { firstOffset: 70, count: 1, redelivered: true, deliveries: 0 },
        { firstOffset: 90, count: 1, redelivered: false, deliveries: 0 },
      ],
      messages: Uint8Array.from([0x0a, 5, 8, 1, 0x12, 1, 0x61, 0x0a, 7, 0x1a, 5, 0x0a, 1, 0x6b, 0x12, 0]),
    },
  });
  const { value: message } = (await first) as { value: ConsumedMessage<string> };
  expect(message).toMatchObject({ id: 1, body: "a", offset: 70, redelivered: true, attempt: 1 });
  expect(Object.keys(message.headers)).toEqual([]);
  const { value: second } = (await loop.next()) as { value: ConsumedMessage<string> };
  expect(second).toMatchObject({ id: 0, body: "", offset: 90, redelivered: false, attempt: 1 });
  expect({ ...second.headers }).toEqual({ k: "" });
  await loop.return!();
  expect(await ackedUpTo(stream, 1)).toEqual([]);
  await consumer.close();
  await stream.closed;
  // The message that the loop was left at is not acknowledged.
  expect(await stream.take()).toEqual({ oneofKind: "finish", finish: {} });
  expect(stream.frames).toHaveLength(0);
});

test("messages are settled one by one, in any order, as ranges", async () => {
  const clock = new FakeClock();
  const { consumer, stream } = await connected({ prefetch: 8, autoAck: false, internals: { clock } });
  const loop = consumer[Symbol.asyncIterator]();
  const next = loop.next();
  const pull = await stream.expect("pull");
  await stream.expect("pull");
  deliver(stream, pull.pullId, 0, ["a", "b", "c", "d"]);
  const messages = [(await next).value as ConsumedMessage<string>];
  for (let index = 1; index < 4; index++) messages.push((await loop.next()).value);
  messages[2]!.ack();
  messages[1]!.ack();
  clock.advance(50);
  expect(await stream.expect("settle")).toMatchObject({ position: 1, count: 2, outcome: 0 });
  messages[2]!.retry();
  messages[3]!.reject("broken");
  expect(await stream.expect("settle")).toMatchObject({
    position: 3,
    count: 1,
    outcome: 2,
    reason: "broken",
  });
  messages[3]!.ack();
  messages[0]!.ack();
  clock.advance(50);
  await ackedUpTo(stream, 4);
});

test("retry rewinds: what is behind comes again, deliveries on their way are discarded", async () => {
  const { consumer, stream } = await connected({ prefetch: 4 });
  const loop = consumer[Symbol.asyncIterator]();
  const next = loop.next();
  const pulls = [await stream.expect("pull"), await stream.expect("pull")];
  deliver(stream, pulls[0]!.pullId, 0, ["a", "b"]);
  const first = (await next).value as ConsumedMessage<string>;
  first.retry({ delay: "1s", reason: "busy" });
  first.retry();
  first.ack();
  expect(await stream.expect("rewind")).toEqual({ position: 0, reason: "busy", delayMs: 1_000 });
  const again = loop.next();
  // Sent before the server knew.
  deliver(stream, pulls[1]!.pullId, 2, ["c", "d"]);
  rewound(stream, 0);
  const pull = await stream.expect("pull");
  deliver(stream, pull.pullId, 4, ["a", "b"]);
  const message = (await again).value as ConsumedMessage<string>;
  expect(message).toMatchObject({ body: "a", id: 4 });
  expect(((await loop.next()).value as ConsumedMessage<string>).body).toBe("b");
  await loop.return!();
  await ackedUpTo(stream, 5);
});

test("a poll whose pull a rewind cut off asks again", async () => {
  const { consumer, stream } = await connected();
  const loop = consumer[Symbol.asyncIterator]();
  const next = loop.next();
  const pull = await stream.expect("pull");
  const standing = await stream.expect("pull");
  deliver(stream, pull.pullId, 0, ["a"]);
  const message = (await next).value as ConsumedMessage<string>;
  await loop.return!();
  const poll = consumer.poll();
  const own = await stream.expect("pull");
  message.retry();
  await stream.expect("rewind");
  empty(stream, standing.pullId);
  empty(stream, own.pullId);
  rewound(stream, 0);
  const again = await stream.expect("pull");
  deliver(stream, again.pullId, 1, ["a"]);
  expect(await poll).toEqual([1, "a"]);
});

test("retry of one of several messages in hand, or in shared mode, gives back that one alone", async () => {
  for (const mode of ["exclusive", "shared"] as const) {
    const { consumer, stream } = await connected({ prefetch: 8, autoAck: false, mode });
    const loop = consumer[Symbol.asyncIterator]();
    const next = loop.next();
    deliver(stream, (await stream.expect("pull")).pullId, 0, ["a", "b"]);
    await stream.expect("pull");
    const first = (await next).value as ConsumedMessage<string>;
    if (mode === "exclusive") await loop.next();
    first.retry({ delay: 5 });
    const settle = await stream.expect("settle");
    expect(settle).toMatchObject({ position: 0, count: 1, outcome: 1, delayMs: 5 });
    await consumer.close();
  }
});

test("reconnect: the buffer is dropped, messages in hand are fenced, who waits goes on waiting", async () => {
  const { consumer, stream, open } = await connected({ reconnect: FAST, prefetch: 4 });
  const loop = consumer[Symbol.asyncIterator]();
  const next = loop.next();
  const pull = await stream.expect("pull");
  deliver(stream, pull.pullId, 0, ["a", "b"]);
  const first = (await next).value as ConsumedMessage<string>;
  const message = (await loop.next()).value as ConsumedMessage<string>;
  const after = loop.next();
  stream.cut();
  const again = await server.consume();
  expect(again.open.consumerId).toEqual(open.consumerId);
  const pulls = [await again.stream.expect("pull"), await again.stream.expect("pull")];
  expect(pulls.map((p) => p.ack)).toEqual([undefined, undefined]);
  first.ack();
  message.retry();
  message.reject("late");
  deliver(again.stream, pulls[0]!.pullId, 0, ["b"]);
  const redelivered = (await after).value as ConsumedMessage<string>;
  expect(redelivered.body).toBe("b");
  redelivered.reject("x");
  expect(await again.stream.expect("settle")).toMatchObject({ position: 0, outcome: 2 });
});

test("reconnect: a poll on its way asks again on the new stream", async () => {
  const { consumer, stream } = await connected({ reconnect: FAST });
  const poll = consumer.poll();
  await stream.expect("pull");
  stream.close(1012);
  const again = await server.consume();
  empty(again.stream, (await again.stream.expect("pull")).pullId);
  expect(await poll).toBeNull();
});

test("opened and lost in one breath: it comes back, or initConn fails", async () => {
  for (const reconnect of [FAST, false]) {
    const consumer = new Consumer("127.0.0.1", server.port, "t", { reconnect });
    const connecting = consumer.initConn().then(
      () => "fine",
      (error) => error.name,
    );
    const { stream } = await server.consume();
    stream.close(1012);
    expect(["fine", reconnect ? "fine" : "DeadConnectionUsed"]).toContain(await connecting);
    if (reconnect) {
      const poll = consumer.poll();
      const again = await server.consume();
      empty(again.stream, (await again.stream.expect("pull")).pullId);
      expect(await poll).toBeNull();
    } else {
      while (consumer.state !== "closed") await Bun.sleep(1);
    }
  }
});

test("a standby stands in line, its polls wait for the lock, and it hears of its promotion", async () => {
  const states: string[] = [];
  const { consumer, stream } = await connected(
    { mode: "standby", onStateChange: (state) => states.push(state) },
    { holder: false },
  );
  expect(consumer.state).toBe("standby");
  const poll = consumer.poll();
  const waiting = failure(consumer.poll({ wait: 60_000 }));
  const second = await stream.expect("pull");
  expect(second.waitMs).toBeGreaterThan(50_000);
  stream.send({ oneofKind: "promoted", promoted: {} });
  const first = await stream.expect("pull");
  expect(first.waitMs).toBe(0);
  expect(consumer.state).toBe("open");
  deliver(stream, second.pullId, 0, ["a"]);
  expect(await poll).toEqual([0, "a"]);
  empty(stream, second.pullId + 1);
  await consumer.close();
  expect(await waiting).toBeInstanceOf(DeadConnectionUsed);
  expect(states).toEqual(["connecting", "standby", "open", "closed"]);
});

test("a body that the codec refuses goes to the dead-letter topic, is told, and polls and loops go on", async () => {
  const told: [string, number, string][] = [];
  const consumer = new Consumer<{ n: number }>("127.0.0.1", server.port, "t", {
    codec: json<{ n: number }>(),
    onInvalid: (error, { id, headers }) =>
      told.push([error.code, id, `${Object.keys(headers).length} ${error.message}`]),
  });
  const [{ stream }] = await Promise.all([server.consume(), consumer.initConn()]);
  const poll = consumer.poll();
  deliver(stream, (await stream.expect("pull")).pullId, 0, ["{", '{"n":1}', "{"]);
  expect(await poll).toEqual([1, { n: 1 }]);
  const settle = await stream.expect("settle");
  expect(settle).toMatchObject({ position: 0, count: 1, outcome: 2 });
  expect(settle.reason).toStartWith("message 0: its body cannot be decoded");
  // Nothing but an invalid one is here: the poll asks for another.
  const second = consumer.poll();
  expect(await stream.expect("settle")).toMatchObject({ position: 2, outcome: 2 });
  empty(stream, (await stream.expect("pull")).pullId);
  expect(await second).toBeNull();
  const loop = consumer[Symbol.asyncIterator]();
  const next = loop.next();
  deliver(stream, (await stream.expect("pull")).pullId, 3, ["{", '{"n":2}']);
  expect((await next).value.body).toEqual({ n: 2 });
  expect(told.map(([code, id]) => [code, id])).toEqual([
    ["DATA_LOSS", 0],
    ["DATA_LOSS", 2],
    ["DATA_LOSS", 3],
  ]);
  expect(told[0]![2]).toStartWith("0 message 0: its body cannot be decoded");
});

test("a delivery that breaks the protocol ends the connection", async () => {
  const breaks: ((stream: ConsumeStream, pullId: number) => void)[] = [
    (stream) => deliver(stream, 99, 0, ["a"]),
    (stream) => empty(stream, 99),
    (stream) => rewound(stream, 0),
    (stream, pullId) => deliver(stream, pullId, 0, []),
    (stream) => stream.socket.sendBinary(Uint8Array.of(0x0a, 0xff)),
    (stream) => stream.socket.send("text"),
    (stream) => stream.send({ oneofKind: undefined }),
    (stream, pullId) =>
      stream.send({
        oneofKind: "delivered",
        delivered: {
          pullId,
          firstPosition: 0,
          runs: [{ firstOffset: 0, count: 2, redelivered: false, deliveries: 0 }],
          messages: Uint8Array.of(0xff, 0xff),
        },
      }),
  ];
  for (const act of breaks) {
    const { consumer, stream } = await connected();
    const poll = failure(consumer.poll());
    act(stream, (await stream.expect("pull")).pullId);
    expect(await poll).toBeInstanceOf(Error);
    expect(await failure(consumer.poll())).toBeInstanceOf(DeadConnectionUsed);
    expect((await stream.closed).code).not.toBe(undefined as never);
  }
});

test("close ends loops quietly and polls loudly, twice is once", async () => {
  const { consumer } = await connected();
  const loop = consumer[Symbol.asyncIterator]();
  const next = loop.next();
  const poll = failure(consumer.poll({ wait: 60_000 }));
  const closed = consumer.close();
  expect(consumer.close()).toBe(closed);
  expect(await next).toEqual({ value: undefined, done: true });
  expect(await poll).toBeInstanceOf(DeadConnectionUsed);
  await closed;
  expect((await loop.next()).done).toBe(true);
  for await (const _ of consumer) throw new Error("closed");
  expect(() => consumer.ack()).toThrow(DeadConnectionUsed);
});

test("closing within a loop, or losing the connection there, ends it", async () => {
  for (const how of ["close", "lose"]) {
    const { consumer, stream } = await connected();
    const looping = (async () => {
      for await (const _ of consumer) {
        if (how === "close") void consumer.close();
        else {
          stream.cut();
          while (consumer.state === "open") await Bun.sleep(1);
        }
      }
    })();
    deliver(stream, (await stream.expect("pull")).pullId, 0, ["a", "b"]);
    if (how === "close") await looping;
    else expect(await failure(looping)).toBeInstanceOf(DeadConnectionUsed);
  }
});

test("close tells what is acknowledged and adds nothing", async () => {
  const { consumer, stream } = await connected();
  const first = consumer.poll();
  deliver(stream, (await stream.expect("pull")).pullId, 0, ["a", "b", "c"]);
  await first;
  await consumer.poll();
  await consumer.close();
  expect((await stream.expect("ack")).count).toBe(1);
  await stream.expect("finish");
  await stream.closed;
  expect(stream.frames).toHaveLength(0);
});

test("a lost connection throws out of a loop", async () => {
  const { consumer, stream } = await connected();
  const looping = failure(
    (async () => {
      for await (const _ of consumer);
    })(),
  );
  await stream.expect("pull");
  stream.close(4010, "another one");
  const error = await looping;
  expect(error).toBeInstanceOf(DeadConnectionUsed);
  expect(error.cause).toMatchObject({ code: "ABORTED", message: "another one" });
});

test("what cannot be", async () => {
  expect(() => new Consumer("h", 1, "t", { mode: "other" as never })).toThrow("mode must be");
  expect(() => new Consumer("h", 1, "t", { prefetch: 0 })).toThrow("prefetch must be");
  const { consumer } = await connected();
  expect(await failure(consumer.poll({ wait: "soon" }))).toMatchObject({ code: "INVALID_ARGUMENT" });
  expect(await failure(consumer.initConn())).toMatchObject({ code: "FAILED_PRECONDITION" });
  const refused = new Consumer("127.0.0.1", server.port, "t");
  const connecting = failure(refused.initConn());
  const stream = await server.accept<ConsumeStream>();
  stream.close(4009, "taken");
  expect(await connecting).toBeInstanceOf(InitFailed);
});
