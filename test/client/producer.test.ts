import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { whatToLookAt } from "../../src/client/close-error.ts";
import type { OpenSocket } from "../../src/client/sockets/socket.ts";
import {
  adminClient,
  ConnectionRefusedError,
  DeadConnectionUsed,
  InitFailed,
  InvalidTopic,
  json,
  MessageTooLarge,
  OutcomeUnknown,
  Producer,
  type ProducerOptions,
  QueueFull,
  SendBufferFull,
  TinyMQError,
  Unauthenticated,
  WrongAck,
} from "../../src/index.ts";
import { FakeClock } from "../support/fake-clock.ts";
import { FakeServer, failure, LIMITS, messagesOf, type ProduceStream } from "./fake-server.ts";

let server: FakeServer;
beforeEach(() => {
  server = new FakeServer();
});
afterEach(() => server.stop());

async function connected(options: ProducerOptions = {}, opened: Parameters<FakeServer["produce"]>[0] = {}) {
  const producer = new Producer("127.0.0.1", server.port, "t", options);
  const [accepted] = await Promise.all([server.produce(opened), producer.initConn()]);
  return { producer, ...accepted };
}

const ack = (stream: ProduceStream, seq: number) => stream.send({ oneofKind: "acked", acked: { seq } });
const FAST = { minDelay: 1, maxDelay: 1 };

test("the handshake: path, subprotocol, open frame", async () => {
  const { producer, stream, open } = await connected({ token: "secret", delivery: "broadcast" });
  expect(stream.method).toBe("/tinymq.v1.TinyMQ/Produce");
  expect(stream.protocols).toBe("tinymq.v1");
  expect(open).toMatchObject({ topic: "t", token: "secret", delivery: 1, firstSeq: 1, instance: "" });
  expect(open.producerId).toHaveLength(16);
  await producer.close();
  expect(await stream.closed).toMatchObject({ code: 1000 });
});

test("sends of one tick are one batch, and each promise is its own", async () => {
  const { producer, stream } = await connected();
  const first = producer.send("a", 7);
  const second = producer.send("b", 8, { headers: { k: "v" } });
  expect(first).not.toBe(second);
  const batch = await stream.expect("batch");
  expect(batch).toMatchObject({ seq: 1, delayMs: 0, ttlMs: 0, uniqueMs: 0 });
  expect(messagesOf(batch.messages)).toEqual([
    [7, "a"],
    [8, "b"],
  ]);
  ack(stream, 1);
  expect(await Promise.all([first, second])).toEqual([undefined, undefined]);
  expect(producer.unacknowledgedBytes).toBe(0);
});

test("without an id the producer numbers from 0", async () => {
  const { producer, stream } = await connected();
  const sent = [producer.send("a"), producer.send("b", 40), producer.send("c")];
  const batch = await stream.expect("batch");
  expect(messagesOf(batch.messages).map(([id]) => id)).toEqual([0, 40, 1]);
  ack(stream, 1);
  await Promise.all(sent);
});

test("a batch is split where options differ, and order is kept", async () => {
  const { producer, stream } = await connected({ unique: "10m" });
  const sent = [
    producer.send("a", 0),
    producer.send("b", 1, { delay: "1s" }),
    producer.send("c", 2, { delay: 1_000 }),
    producer.send("d", 3, { ttl: "2s" }),
    producer.send("e", 4),
  ];
  const batches = [];
  for (let count = 0; count < 4; count++) batches.push(await stream.expect("batch"));
  expect(batches.map((b) => [b.seq, b.delayMs, b.ttlMs, b.uniqueMs])).toEqual([
    [1, 0, 0, 600_000],
    [2, 1_000, 0, 600_000],
    [3, 0, 2_000, 600_000],
    [4, 0, 0, 600_000],
  ]);
  expect(batches.map((b) => messagesOf(b.messages).map(([, body]) => body))).toEqual([
    ["a"],
    ["b", "c"],
    ["d"],
    ["e"],
  ]);
  ack(stream, 4);
  await Promise.all(sent);
});

test("a batch ends at the server's limits, in flight and in messages", async () => {
  const { producer, stream } = await connected({}, { limits: { maxBatchMessages: 2, maxInFlight: 2 } });
  const sent = Array.from("abcdefg", (body) => producer.send(body));
  const bodies = async () => messagesOf((await stream.expect("batch")).messages).map(([, body]) => body);
  expect(await bodies()).toEqual(["a", "b"]);
  expect(await bodies()).toEqual(["c", "d"]);
  ack(stream, 1);
  expect(await bodies()).toEqual(["e", "f"]);
  expect(stream.frames).toHaveLength(0);
  ack(stream, 3);
  expect(await bodies()).toEqual(["g"]);
  ack(stream, 4);
  await Promise.all(sent);
});

test("64 KiB go out at once, and no frame is above the limit", async () => {
  const { producer, stream } = await connected(
    {},
    { limits: { maxMessageBytes: 50_000, maxFrameBytes: 100_000 } },
  );
  const body = "x".repeat(30_000);
  const sent = [producer.send(body), producer.send(body), producer.send(body), producer.send(body)];
  for (const seq of [1, 2]) {
    const batch = await stream.expect("batch");
    expect(messagesOf(batch.messages)).toHaveLength(2);
    ack(stream, seq);
  }
  await Promise.all(sent);
});

test("a rejected batch rejects its sends by code, the others stand", async () => {
  const { producer, stream } = await connected();
  const codes: [number, new (...parameters: never[]) => Error][] = [
    [8, QueueFull],
    [11, MessageTooLarge],
    [16, Unauthenticated],
    [7, TinyMQError],
  ];
  for (const [index, [code, type]] of codes.entries()) {
    const sent = producer.send("a");
    const { seq } = await stream.expect("batch");
    expect(seq).toBe(index + 1);
    stream.send({ oneofKind: "rejected", rejected: { seq, code, message: "because", messages: [] } });
    const error = await failure(sent);
    expect(error).toBeInstanceOf(type);
    expect(error.message).toBe("because");
  }
  const sent = producer.send("b");
  await stream.expect("batch");
  ack(stream, 5);
  await sent;
});

test("of a batch that is stored in part each send has its own fate, in the order of sending", async () => {
  const { producer, stream } = await connected();
  const fates: string[] = [];
  const sent = Array.from("abcdefgh", (body, index) =>
    // One of them with options: a batch of its own, in the middle.
    producer.send(body, index, index === 6 ? { ttl: "1m" } : undefined).then(
      () => fates.push(body),
      (error: Error) => fates.push(`${body} ${error.name}`),
    ),
  );
  for (let batch = 0; batch < 3; batch++) await stream.expect("batch");
  const messages = [
    { first: 0, count: 1 },
    { first: 2, count: 2 },
    { first: 5, count: 1 },
  ];
  stream.send({ oneofKind: "rejected", rejected: { seq: 1, code: 8, message: "full", messages } });
  ack(stream, 3);
  await Promise.all(sent);
  expect(fates).toEqual(["a QueueFull", "b", "c QueueFull", "d QueueFull", "e", "f QueueFull", "g", "h"]);
});

test("a sendBatch fails by its own messages, and never by those of others", async () => {
  const { producer, stream } = await connected();
  const sent = [
    producer.send("a"),
    producer.sendBatch([{ body: "b" }, { body: "c" }]),
    producer.send("d"),
    failure(producer.sendBatch([{ body: "e" }, { body: "f" }])),
  ];
  const bodies = [];
  for (let count = 0; count < 4; count++)
    bodies.push(messagesOf((await stream.expect("batch")).messages).map(([, body]) => body));
  expect(bodies).toEqual([["a"], ["b", "c"], ["d"], ["e", "f"]]);
  const messages = [{ first: 1, count: 1 }];
  ack(stream, 3);
  stream.send({ oneofKind: "rejected", rejected: { seq: 4, code: 8, message: "full", messages } });
  expect(await Promise.all(sent)).toMatchObject([undefined, undefined, undefined, { name: "QueueFull" }]);
});

test("a clean end is said in a frame; a client that gives up does not say it", async () => {
  const { producer, stream } = await connected();
  await producer.close();
  expect(await stream.take()).toEqual({ oneofKind: "finish", finish: {} });
  expect(await stream.closed).toMatchObject({ code: 1000 });
  const broken = await connected();
  ack(broken.stream, 9);
  expect((await broken.stream.closed).code).not.toBe(1000);
  expect(broken.stream.frames).toHaveLength(0);
});

test("a producer_id that another program uses is found out", async () => {
  const producer = new Producer("127.0.0.1", server.port, "t", { reconnect: FAST });
  const [{ stream }] = await Promise.all([server.produce(), producer.initConn()]);
  stream.cut();
  const next = await server.accept<ProduceStream>();
  const sent = failure(producer.send("a"));
  await next.expect("open");
  const opened = { instance: "one", known: true, lastSeq: 1, limits: LIMITS };
  next.send({ oneofKind: "opened", opened });
  const error = await sent;
  expect(error).toBeInstanceOf(DeadConnectionUsed);
  expect(error.message).toContain("another program uses this producer's id");
  expect(error.cause).toMatchObject({ code: "ABORTED" });
});

test("an answer for a batch that is not in flight is WrongAck and the end", async () => {
  const { producer, stream } = await connected();
  const sent = producer.send("a");
  await stream.expect("batch");
  ack(stream, 2);
  expect(await failure(sent)).toBeInstanceOf(WrongAck);
  await stream.closed;
  const error = await failure(producer.send("b"));
  expect(error).toBeInstanceOf(DeadConnectionUsed);
  expect(error.cause).toBeInstanceOf(WrongAck);
});

test("what the program gives wrongly rejects, and changes nothing", async () => {
  const { producer, stream } = await connected({ maxUnacknowledged: 10 });
  expect((await failure(producer.send(5 as never))).message).toBe(
    "the text codec takes a string, not number",
  );
  expect((await failure(producer.send(new Uint8Array(1) as never))).message).toContain("not Uint8Array");
  expect(await failure(producer.send("a", -1))).toMatchObject({ code: "INVALID_ARGUMENT" });
  expect(await failure(producer.send("a", 1, { delay: "soon" }))).toMatchObject({ code: "INVALID_ARGUMENT" });
  expect(await failure(producer.send("x".repeat(1024 * 1024)))).toBeInstanceOf(MessageTooLarge);
  const sent = producer.send("0123456789");
  expect(await failure(producer.send("b"))).toBeInstanceOf(SendBufferFull);
  expect(messagesOf((await stream.expect("batch")).messages)).toEqual([[0, "0123456789"]]);
  ack(stream, 1);
  await sent;
});

test("sendBatch waits for room, and stops at the first rejection", async () => {
  const { producer, stream } = await connected(
    { maxUnacknowledged: 400 },
    { limits: { maxBatchMessages: 2 } },
  );
  const messages = Array.from({ length: 20 }, (_, index) => ({ id: index, body: "x".repeat(50) }));
  const sent = producer.sendBatch(messages, { headers: { h: "1" } });
  let received = 0;
  while (received < 20) {
    const batch = await stream.expect("batch");
    received += messagesOf(batch.messages).length;
    ack(stream, batch.seq);
  }
  await sent;
  const second = failure(producer.sendBatch(messages));
  const { seq } = await stream.expect("batch");
  stream.send({ oneofKind: "rejected", rejected: { seq, code: 8, message: "full", messages: [] } });
  expect(await second).toBeInstanceOf(QueueFull);
  ack(stream, (await stream.expect("batch")).seq);
  expect(stream.frames).toHaveLength(0);
});

test("a lost connection rejects what is in flight and every later call, with the cause", async () => {
  const { producer, stream } = await connected();
  const sent = producer.send("a");
  await stream.expect("batch");
  stream.close(1012, "back soon");
  const error = await failure(sent);
  expect(error).toBeInstanceOf(DeadConnectionUsed);
  expect((error.cause as Error).message).toBe("the server restarts (close code 1012: back soon)");
  expect(await failure(producer.send("b"))).toBeInstanceOf(DeadConnectionUsed);
  expect(await failure(producer.sendBatch([{ body: "b" }]))).toBeInstanceOf(DeadConnectionUsed);
  expect(producer.state).toBe("closed");
  await producer.close();
});

test("reconnect: a known producer sends again what is in flight, in the same frames", async () => {
  const states: string[] = [];
  const { producer, stream, open } = await connected({
    reconnect: FAST,
    onStateChange: (state) => states.push(state),
  });
  const first = producer.send("a");
  await stream.expect("batch");
  ack(stream, 1);
  await first;
  const second = producer.send("b", 5, { ttl: 7 });
  const before = await stream.expect("batch");
  stream.cut();
  const again = await server.produce({ known: true });
  expect(again.open).toMatchObject({ producerId: open.producerId, firstSeq: 2, instance: "one" });
  expect(await again.stream.expect("batch")).toEqual(before);
  ack(again.stream, 2);
  await second;
  const third = producer.send("c");
  expect((await again.stream.expect("batch")).seq).toBe(3);
  ack(again.stream, 3);
  await third;
  expect(states).toEqual(["connecting", "open", "reconnecting", "open"]);
});

test("reconnect: unknown at the same instance fails what is in flight, and new data takes its seqs", async () => {
  const { producer, stream } = await connected({ reconnect: FAST }, { limits: { maxInFlight: 1 } });
  const sent = producer.send("a");
  await stream.expect("batch");
  const waiting = producer.send("b");
  stream.cut();
  const again = await server.produce({ known: false });
  expect(again.open.firstSeq).toBe(1);
  expect(await failure(sent)).toBeInstanceOf(OutcomeUnknown);
  const batch = await again.stream.expect("batch");
  expect(batch.seq).toBe(1);
  expect(messagesOf(batch.messages)).toEqual([[1, "b"]]);
  ack(again.stream, 1);
  await waiting;
});

test("reconnect: unknown at a new instance sends again from first_seq", async () => {
  const { producer, stream } = await connected({ reconnect: FAST });
  const sent = producer.send("a");
  await stream.expect("batch");
  stream.cut();
  const again = await server.produce({ known: false, instance: "two" });
  expect(messagesOf((await again.stream.expect("batch")).messages)).toEqual([[0, "a"]]);
  ack(again.stream, 1);
  await sent;
});

test("reconnect: sends made meanwhile wait, and attempts have an end", async () => {
  const { producer, stream } = await connected({ reconnect: { ...FAST, attempts: 2 } });
  stream.close(1001);
  await stream.closed;
  await server.stop();
  const port = server.port;
  while (producer.state === "open") await Bun.sleep(1);
  const sent = failure(producer.send("a"));
  const error = await sent;
  expect(error).toBeInstanceOf(DeadConnectionUsed);
  expect(error.cause).toBeInstanceOf(ConnectionRefusedError);
  expect(port).toBe(server.port);
});

test("an error that coming back does not help is the end, even with reconnect", async () => {
  const { producer, stream } = await connected({ reconnect: FAST });
  stream.close(4000 + 7, "not you");
  while (producer.state !== "closed") await Bun.sleep(1);
  const error = await failure(producer.send("a"));
  expect(error.cause).toMatchObject({ code: "PERMISSION_DENIED", message: "not you" });
});

test("a fault of the server, and a close code that nobody knows, are worth coming back for", async () => {
  for (const code of [4013, 4002, 3123]) {
    const { producer, stream } = await connected({ reconnect: FAST });
    stream.close(code, "sorry");
    const { stream: again } = await server.produce({ known: false });
    const sent = producer.send("a");
    await again.expect("batch");
    ack(again, 1);
    await sent;
    await producer.close();
  }
});

test("without a delay it does not try without end", async () => {
  const clock = new FakeClock();
  let attempts = 0;
  const openSocket: OpenSocket = (_url, _protocol, _tls, events) => {
    attempts += 1;
    queueMicrotask(() => events.close(1006, "", ""));
    return { send() {}, close() {}, terminate() {} };
  };
  const reconnect = { minDelay: 0, initial: true };
  const states: [state: string, error: unknown][] = [];
  const producer = new Producer("h", 1, "t", {
    reconnect,
    onStateChange: (state, error) => states.push([state, error]),
    internals: { clock, openSocket, random: () => 0 },
  });
  const connecting = failure(producer.initConn());
  for (let ms = 0; ms < 500; ms++) {
    for (let turn = 0; turn < 10; turn++) await Promise.resolve();
    clock.advance(1);
  }
  expect(attempts).toBeGreaterThan(5);
  expect(attempts).toBeLessThan(12);
  await producer.close();
  expect(await connecting).toBeInstanceOf(DeadConnectionUsed);
  await Promise.resolve();
  // Each failed attempt is told, so that a misspelt host does not look like a hang.
  const told = states.filter(([state, error]) => state === "connecting" && error !== undefined);
  expect(told.length).toBe(attempts);
  expect(told[0]![1]).toBeInstanceOf(ConnectionRefusedError);
});

test("a refused connection says what to do", async () => {
  await server.stop();
  const refused = await failure(new Producer("127.0.0.1", server.port, "t").initConn());
  expect(refused.message).toContain(`\`bunx tmqserver start --port ${server.port}\` starts one`);
  expect(whatToLookAt("localhost", 9800)).toContain("`bunx tmqserver start` starts one");
  const unary = await failure(adminClient("127.0.0.1", server.port).getStatus({}).response);
  expect(unary).toBeInstanceOf(ConnectionRefusedError);
  expect(unary.message).toContain("`bunx tmqserver start` starts one");
  expect(whatToLookAt("10.0.0.1")).toContain("--host");
  // A browser tells a refused origin from nothing at all as little as a missing server.
  expect(whatToLookAt("mq.example", 9800, "https://shop.example")).toContain(
    "--allow-origin https://shop.example",
  );
});

test("TLS where the server has none is told", async () => {
  const refused = await failure(new Producer("127.0.0.1", server.port, "t", { tls: true }).initConn());
  expect(refused).toBeInstanceOf(ConnectionRefusedError);
  expect(refused.message).toContain("the server may not use TLS");
});

test("options in the place of the id are told", async () => {
  const { producer } = await connected();
  const error = await failure(producer.send("x", { ttl: 5 } as never));
  expect(error).toMatchObject({ code: "INVALID_ARGUMENT" });
  expect(error.message).toContain("options are the third argument of send()");
  await producer.close();
});

test("what initConn throws", async () => {
  const refused = new Producer("127.0.0.1", server.port, "t");
  const closing = async (code: number) => {
    const producer = new Producer("127.0.0.1", server.port, "t");
    const connecting = failure(producer.initConn());
    const stream = await server.accept<ProduceStream>();
    await stream.expect("open");
    stream.close(code, "no");
    return connecting;
  };
  expect(await closing(4009)).toBeInstanceOf(InitFailed);
  expect(await closing(4009)).toMatchObject({ code: "FAILED_PRECONDITION", message: "no" });
  expect(await closing(4016)).toBeInstanceOf(Unauthenticated);
  expect(await closing(4003)).toBeInstanceOf(InvalidTopic);
  expect(await closing(4008)).toMatchObject({ name: "InitFailed", code: "RESOURCE_EXHAUSTED" });
  expect(await closing(1012)).toMatchObject({ name: "InitFailed", code: "UNAVAILABLE" });
  await server.stop();
  for (let attempt = 0; attempt < 2; attempt++) {
    expect(await failure(refused.initConn())).toBeInstanceOf(ConnectionRefusedError);
  }
  expect(await failure(refused.send("a"))).toBeInstanceOf(DeadConnectionUsed);
  expect(await failure(new Producer("localhost", server.port, "t").initConn())).toBeInstanceOf(
    ConnectionRefusedError,
  );
});

test("reconnect.initial goes on trying at initConn, too", async () => {
  const port = server.port;
  await server.stop();
  let attempts = 0;
  const reconnect = { ...FAST, attempts: 3, initial: true };
  const internals = {
    random: () => {
      attempts += 1;
      return 0;
    },
  };
  const producer = new Producer("127.0.0.1", port, "t", { reconnect, internals });
  expect(await failure(producer.initConn())).toBeInstanceOf(ConnectionRefusedError);
  expect(attempts).toBe(3);
});

describe("who gives up waiting for a connection is told the last failure", () => {
  const reconnect = { ...FAST, initial: true };
  const untilRefused = (options: ProducerOptions = {}) => {
    const { promise: refused, resolve } = Promise.withResolvers<void>();
    const onStateChange = (_state: string, error: unknown) => error !== undefined && resolve();
    return {
      refused,
      producer: new Producer("127.0.0.1", web.port!, "t", { reconnect, onStateChange, ...options }),
    };
  };
  let web: Bun.Server<undefined>;
  beforeAll(() => {
    web = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: () => new Response("hello") });
  });
  afterAll(() => web.stop(true));
  const told = {
    message: expect.stringContaining("it does not look like a tinyMQ server"),
    cause: expect.any(ConnectionRefusedError),
  };

  test("by close()", async () => {
    const { producer, refused } = untilRefused();
    const connecting = failure(producer.initConn());
    await refused;
    await producer.close();
    expect(await connecting).toMatchObject({ name: "DeadConnectionUsed", ...told });
    expect(await failure(producer.send("a"))).toMatchObject({ name: "DeadConnectionUsed", ...told });
  });

  test("by a signal", async () => {
    const controller = new AbortController();
    const { producer, refused } = untilRefused({ signal: controller.signal });
    const connecting = failure(producer.initConn());
    await refused;
    controller.abort();
    expect(await connecting).toMatchObject({ code: "CANCELLED", ...told });
  });

  test("but not who closes what was open", async () => {
    const { producer } = await connected();
    await producer.close();
    expect(await failure(producer.send("a"))).toMatchObject({
      message: "the connection is closed",
      cause: undefined,
    });
  });
});

test("what cannot be is refused at once", async () => {
  expect(() => new Producer("h", 1, "")).toThrow(InvalidTopic);
  expect(() => new Producer("h", 0, "t")).toThrow("the port must be 1 to 65535");
  expect(() => new Producer("", 1, "t")).toThrow("the host is missing");
  expect(() => new Producer("h", 1, "t", { delivery: "other" as never })).toThrow("delivery must be");
  expect(() => new Producer("h", 1, "t", { unique: "x" })).toThrow("unique");
  const producer = new Producer("h", 1, "t");
  expect(await failure(producer.send("a"))).toMatchObject({
    message: "not connected: await initConn() first",
  });
});

test("close waits for what is in flight; a second close is the first", async () => {
  const { producer, stream } = await connected();
  const sent = producer.send("a");
  const closed = producer.close();
  expect(producer.close()).toBe(closed);
  expect(await failure(producer.send("b"))).toBeInstanceOf(DeadConnectionUsed);
  await stream.expect("batch");
  ack(stream, 1);
  await sent;
  await closed;
  expect(await stream.closed).toMatchObject({ code: 1000 });
});

test("close finishes although the server hangs", async () => {
  const clock = new FakeClock();
  const { producer, stream } = await connected({ internals: { clock } });
  const sent = producer.send("a");
  await stream.expect("batch");
  const closed = producer.close();
  clock.advance(5_000);
  expect(await failure(sent)).toBeInstanceOf(DeadConnectionUsed);
  await closed;
});

test("a signal ends it at once", async () => {
  const controller = new AbortController();
  const { producer, stream } = await connected({ signal: controller.signal });
  const sent = producer.send("a");
  await stream.expect("batch");
  controller.abort(new Error("enough"));
  const error = await failure(sent);
  expect(error).toMatchObject({ code: "CANCELLED" });
  expect(error.cause).toMatchObject({ message: "enough" });
  expect(await failure(producer.send("b"))).toMatchObject({ code: "CANCELLED" });
  await stream.closed;
  const late = new Producer("127.0.0.1", server.port, "t", { signal: AbortSignal.abort() });
  expect(await failure(late.initConn())).toMatchObject({ code: "CANCELLED" });
});

test("codecs carry the type", async () => {
  const producer = new Producer<{ n: number }>("127.0.0.1", server.port, "t", {
    codec: json<{ n: number }>(),
  });
  const [{ stream }] = await Promise.all([server.produce(), producer.initConn()]);
  const sent = producer.send({ n: 1 });
  expect(messagesOf((await stream.expect("batch")).messages)).toEqual([[0, '{"n":1}']]);
  ack(stream, 1);
  await sent;
});

test("nothing that the program cannot see is left unhandled", async () => {
  const unhandled: unknown[] = [];
  const listen = (reason: unknown) => unhandled.push(reason);
  process.on("unhandledRejection", listen);
  const { producer, stream } = await connected();
  const lost = failure(Promise.all([producer.send("a"), producer.sendBatch([{ body: "b" }])]));
  await stream.expect("batch");
  stream.cut();
  await lost;
  await producer.close();
  await stream.closed;
  const refused = new Producer("127.0.0.1", 1, "t");
  await failure(refused.initConn());
  await Bun.sleep(5);
  process.off("unhandledRejection", listen);
  expect(unhandled).toEqual([]);
});
