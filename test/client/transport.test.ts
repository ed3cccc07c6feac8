/** The transport under the generated clients, against servers made by hand. */
import { afterEach, expect, test } from "bun:test";
import type { Server } from "bun";
import { ListTopicsRequest, ListTopicsResponse } from "../../src/gen/tinymq/v1/admin.ts";
import { TinyMQClient } from "../../src/gen/tinymq/v1/queue.client.ts";
import type { ProduceRequest } from "../../src/gen/tinymq/v1/queue.ts";
import {
  adminClient,
  ConnectionRefusedError,
  Producer,
  TinyMQTransport,
  Unauthenticated,
} from "../../src/index.ts";
import { FakeServer, failure, type ProduceStream } from "./fake-server.ts";

let http: Server<unknown> | undefined;
let server: FakeServer | undefined;
afterEach(async () => {
  await http?.stop(true);
  await server?.stop();
  http = undefined;
  server = undefined;
});

function twirp(answer: (request: Request) => Response | Promise<Response>) {
  http = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: answer });
  return adminClient("127.0.0.1", http.port!, { token: "secret" });
}

const LIST = { prefix: "a", limit: 3, after: "" };
const HEARTBEAT: ProduceRequest = { kind: { oneofKind: "heartbeat", heartbeat: {} } };

test("a unary call is a POST of protobuf with the token in its header", async () => {
  const admin = twirp(async (request) => {
    expect(request.method).toBe("POST");
    expect(new URL(request.url).pathname).toBe("/twirp/tinymq.v1.Admin/ListTopics");
    expect(request.headers.get("authorization")).toBe("Bearer secret");
    expect(request.headers.get("content-type")).toBe("application/protobuf");
    expect(ListTopicsRequest.fromBinary(await request.bytes())).toEqual(LIST);
    return new Response(ListTopicsResponse.toBinary({ topics: [], total: 7 }) as Uint8Array<ArrayBuffer>);
  });
  const call = admin.listTopics(LIST);
  expect(await call.response).toEqual({ topics: [], total: 7 });
  expect(await call.status).toEqual({ code: "OK", detail: "" });
});

test("errors of unary calls", async () => {
  const answers: [Response, object][] = [
    [
      Response.json({ code: "not_found", msg: "no topic" }, { status: 404 }),
      { code: "NOT_FOUND", message: "no topic" },
    ],
    [Response.json({ code: "bad_route", msg: "what" }, { status: 404 }), { code: "UNIMPLEMENTED" }],
    [Response.json({ code: "malformed", msg: "what" }, { status: 400 }), { code: "INVALID_ARGUMENT" }],
    [Response.json({ code: "constructor", msg: "what" }, { status: 500 }), { code: "UNKNOWN" }],
    [
      new Response("<html>", { status: 502 }),
      { code: "UNKNOWN", message: expect.stringMatching(/ 502: it does not look like .*; it says: <html>$/) },
    ],
    [
      new Response("the server is stopping\n", { status: 503 }),
      {
        code: "UNKNOWN",
        message: expect.stringMatching(/^http:\/\/127.0.0.1:\d+ .* 503: the server is stopping/),
      },
    ],
    [Response.json({ code: "unauthenticated", msg: "no" }, { status: 401 }), { name: "Unauthenticated" }],
  ];
  let index = 0;
  const admin = twirp(() => answers[index]![0]);
  for (; index < answers.length; index++) {
    expect(await failure(admin.listTopics(LIST).response)).toMatchObject(answers[index]![1]);
  }
  const port = http!.port!;
  await http!.stop(true);
  expect(await failure(adminClient("127.0.0.1", port).listTopics(LIST).response)).toBeInstanceOf(
    ConnectionRefusedError,
  );
});

test("a time limit of a month is not over at once", async () => {
  const admin = twirp(async () => {
    await Bun.sleep(20);
    return new Response(new Uint8Array(0));
  });
  for (const timeout of [30 * 86_400_000, new Date(Date.now() + 60 * 86_400_000)]) {
    expect((await admin.listTopics(LIST, { timeout }).response).total).toBe(0);
  }
});

test("unary calls can be aborted and have time limits", async () => {
  const admin = twirp(() => new Promise<Response>(() => {}));
  const late = admin.listTopics(LIST, { timeout: 10 }).response;
  const where = `no answer from http://127.0.0.1:${http!.port}`;
  expect(await failure(late)).toMatchObject({
    code: "DEADLINE_EXCEEDED",
    message: `${where} within 10 ms, the time limit of the call`,
  });
  const date = new Date(Date.now() + 10);
  expect((await failure(admin.listTopics(LIST, { timeout: date }).response)).message).toStartWith(
    `${where} before ${date.toISOString()}`,
  );
  const given = admin.listTopics(LIST, { abort: AbortSignal.timeout(10) }).response;
  expect(await failure(given)).toMatchObject({
    code: "DEADLINE_EXCEEDED",
    message: "the call's time limit has passed",
  });
  const controller = new AbortController();
  const aborted = failure(admin.listTopics(LIST, { abort: controller.signal }).response);
  controller.abort();
  expect(await aborted).toMatchObject({ code: "CANCELLED" });
});

test("the generated client streams over it", async () => {
  server = new FakeServer();
  const client = new TinyMQClient(new TinyMQTransport({ host: "127.0.0.1", port: server.port }));
  const call = client.produce();
  // Before the handshake: it waits.
  const sent = call.requests.send(HEARTBEAT);
  const stream = await server.accept<ProduceStream>();
  await sent;
  expect(await stream.expect("heartbeat")).toEqual({});
  stream.send({ oneofKind: "acked", acked: { seq: 1 } });
  stream.send({ oneofKind: "acked", acked: { seq: 2 } });
  const seqs: number[] = [];
  for await (const response of call.responses) {
    if (response.kind.oneofKind === "acked") seqs.push(response.kind.acked.seq);
    if (seqs.length === 2) void call.requests.complete();
  }
  expect(seqs).toEqual([1, 2]);
  expect(await call.status).toMatchObject({ code: "OK" });
  expect(await stream.closed).toMatchObject({ code: 1000 });
  expect(await failure(call.requests.send(HEARTBEAT))).toMatchObject({ code: "UNAVAILABLE" });
});

test("close codes are errors, and reach responses, status and trailers", async () => {
  server = new FakeServer();
  const client = new TinyMQClient(new TinyMQTransport({ host: "127.0.0.1", port: server.port }));
  const call = client.produce();
  (await server.accept<ProduceStream>()).close(4016, "no token");
  const looping = async () => {
    for await (const _ of call.responses);
  };
  expect(await failure(looping())).toBeInstanceOf(Unauthenticated);
  expect(await failure(call.status)).toMatchObject({
    code: "UNAUTHENTICATED",
    message: "no token: set the option `token`",
  });
  expect(await failure(call.trailers)).toBeInstanceOf(Unauthenticated);
});

test("leaving the loop over responses ends the call", async () => {
  server = new FakeServer();
  const client = new TinyMQClient(new TinyMQTransport({ host: "127.0.0.1", port: server.port }));
  const call = client.produce();
  const stream = await server.accept<ProduceStream>();
  stream.send({ oneofKind: "heartbeat", heartbeat: {} });
  for await (const _ of call.responses) break;
  await stream.closed;
  expect(await failure(call.status)).toMatchObject({ code: "CANCELLED" });
});

test("answers that nobody reads have a bound", async () => {
  server = new FakeServer();
  const client = new TinyMQClient(new TinyMQTransport({ host: "127.0.0.1", port: server.port }));
  const call = client.produce();
  const stream = await server.accept<ProduceStream>();
  for (let seq = 0; seq < 1_100; seq++) stream.send({ oneofKind: "acked", acked: { seq } });
  expect(await failure(call.status)).toMatchObject({ code: "RESOURCE_EXHAUSTED" });
});

test("a handshake that fails rejects everything", async () => {
  http = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: () => new Response("no", { status: 403 }) });
  const client = new TinyMQClient(new TinyMQTransport({ host: "127.0.0.1", port: http.port! }));
  const call = client.produce();
  expect(await failure(call.requests.send(HEARTBEAT))).toBeInstanceOf(ConnectionRefusedError);
  expect(await failure(call.headers as Promise<unknown>)).toBeInstanceOf(ConnectionRefusedError);
  const aborted = client.produce({ abort: AbortSignal.abort() });
  expect(await failure(aborted.status)).toMatchObject({ code: "CANCELLED" });
  const late = client.produce({ timeout: 0 });
  expect((await failure(late.status)).name).toMatch(/Error/);
});

test.each([
  [404, "it does not look like a tinyMQ server: check host and port"],
  [
    503,
    "the server is stopping or has as many connections as it may have, or a proxy on the way finds no server",
  ],
])("a handshake that is answered with HTTP status %d", async (status, meaning) => {
  http = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: () => new Response("no", { status }) });
  const error = await failure(new Producer("127.0.0.1", http.port!, "t").initConn());
  expect(error).toBeInstanceOf(ConnectionRefusedError);
  expect(error.message).toStartWith(`127.0.0.1:${http.port} answers with HTTP status ${status}: ${meaning}`);
});

test("something that answers without HTTP may be another program", async () => {
  const socket = { open: (client: { end(text: string): void }) => client.end("SSH-2.0-x\r\n"), data() {} };
  const other = Bun.listen({ hostname: "127.0.0.1", port: 0, socket });
  const { message } = await failure(new Producer("127.0.0.1", other.port, "t").initConn());
  other.stop(true);
  expect(message).toContain("is a tinyMQ server running there, and not another program?");
});

test("another kind of server is told from ours, by an error with a code", async () => {
  const admin = twirp(() => new Response("hello"));
  const error = await failure(admin.listTopics(LIST).response);
  expect([error.code, error.message]).toEqual([
    "UNKNOWN",
    expect.stringContaining("it does not look like a tinyMQ server"),
  ]);
});
