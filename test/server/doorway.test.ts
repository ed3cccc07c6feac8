/** Who gets in: handshakes, Host and Origin, numbers of connections, and unary calls that are wrong. */
import { describe, expect, test } from "bun:test";
import type { ServerOptions } from "../../src/server/index.ts";
import { OPCODE, RawSocket } from "../protocol/raw-socket.ts";
import { fromHex, startServer, type TestServer, until, Wire } from "../protocol/support.ts";

const V1 = { protocol: "tinymq.v1" };
const V1_HEADER = "Sec-WebSocket-Protocol: tinymq.v1";
const PRODUCE = "/tinymq.v1.TinyMQ/Produce";
const OPEN = "0a030a0174";

async function status(server: TestServer, lines: string[], host?: string): Promise<number> {
  const raw = await (await RawSocket.open(server.port, PRODUCE, lines, host)).answered();
  raw.cut();
  return raw.status;
}

describe("handshakes", () => {
  test("a subprotocol that is not known is refused with 400, before the upgrade", async () => {
    await using server = await startServer();
    expect(await status(server, ["Sec-WebSocket-Protocol: mqtt"])).toBe(400);
    expect(await status(server, ["Sec-WebSocket-Protocol: tinymq.v2, mqtt"])).toBe(400);
    expect(await status(server, ["Sec-WebSocket-Protocol: tinymq.v1x"])).toBe(400);
    expect(await status(server, ["Sec-WebSocket-Protocol: tinymq.v2, tinymq.v1"])).toBe(101);
    expect(await status(server, [])).toBe(101);
    await server.connections(0);
  });

  test("the subprotocol of the answer is ours, and only where one was offered", async () => {
    await using server = await startServer();
    const raw = await (
      await RawSocket.open(server.port, PRODUCE, ["Sec-WebSocket-Protocol: mqtt,tinymq.v1"])
    ).answered();
    expect(raw.response).toContain(`\r\n${V1_HEADER}\r\n`);
    raw.cut();
  });

  test("frames against the WebSocket protocol are closed by Bun: 1002, 1007", async () => {
    await using server = await startServer();
    const bad: [code: number, send: (raw: RawSocket) => void][] = [
      [1002, (raw) => raw.send(OPCODE.binary, fromHex(OPEN), false)],
      [1002, (raw) => raw.send(3, new Uint8Array(0))],
      [1007, (raw) => raw.send(OPCODE.text, Uint8Array.of(0xff))],
    ];
    for (const [code, send] of bad) {
      const raw = await (await RawSocket.open(server.port, PRODUCE, [V1_HEADER])).answered();
      send(raw);
      const { head, payload } = await raw.next();
      expect([head, payload.readUInt16BE(0)]).toEqual([0x80 | OPCODE.close, code]);
    }
    await server.connections(0);
  });

  test("a stream that was told to go cannot open any more", async () => {
    await using server = await startServer();
    const raw = await (await RawSocket.open(server.port, PRODUCE, [V1_HEADER])).answered();
    server.clock.advance(5_000);
    expect((await raw.next()).payload.readUInt16BE(0)).toBe(4004);
    raw.send(OPCODE.binary, fromHex(OPEN));
    raw.send(OPCODE.ping, Uint8Array.of(1));
    await until(() => raw.ended, "the end of the connection");
    expect(await server.admin("GetStatus")).toMatchObject({ topics: 0, connections: 0 });
    expect(raw.frames).toEqual([]);
  });
});

describe("Host and Origin", () => {
  const origin = (name: string) => [V1_HEADER, `Origin: ${name}`];
  const cases: {
    what: string;
    lines?: (port: number) => string[];
    host?: (port: number) => string;
    want: number;
    options?: ServerOptions;
  }[] = [
    { what: "no Origin: no browser", want: 101 },
    { what: "the server's own page", lines: (port) => origin(`http://127.0.0.1:${port}`), want: 101 },
    {
      what: "another port of this machine",
      lines: (port) => origin(`http://127.0.0.1:${port === 1 ? 2 : 1}`),
      want: 403,
    },
    { what: "another name of this machine", lines: (port) => origin(`http://localhost:${port}`), want: 403 },
    { what: "another site", lines: () => origin("https://example.com"), want: 403 },
    { what: "no site at all", lines: () => origin("null"), want: 403 },
    {
      what: "an origin that is allowed",
      lines: () => origin("https://example.com"),
      want: 101,
      options: { allowOrigin: "https://example.com" },
    },
    {
      what: "every origin is allowed",
      lines: () => origin("null"),
      want: 101,
      options: { allowOrigin: "*" },
    },
    { what: "Host localhost", host: (port) => `localhost:${port}`, want: 101 },
    { what: "Host [::1]", host: (port) => `[::1]:${port}`, want: 101 },
    { what: "Host of a name that was pointed here", host: (port) => `example.com:${port}`, want: 403 },
    { what: "Host that only begins like ours", host: () => "127.0.0.1.example.com", want: 403 },
  ];
  for (const { what, lines, host, want, options } of cases) {
    test(`${what}: ${want}`, async () => {
      await using server = await startServer(options);
      expect(await status(server, lines?.(server.port) ?? [V1_HEADER], host?.(server.port))).toBe(want);
    });
  }

  test("unary calls and health obey them too", async () => {
    await using server = await startServer();
    const url = `http://127.0.0.1:${server.port}`;
    const foreign: Record<string, string>[] = [{ Origin: "https://example.com" }, { Host: "example.com" }];
    for (const headers of foreign) {
      expect((await fetch(`${url}/health`, { headers })).status).toBe(403);
      expect(
        (await fetch(`${url}/twirp/tinymq.v1.Admin/GetStatus`, { method: "POST", headers })).status,
      ).toBe(403);
    }
    expect(await (await fetch(`${url}/health`)).text()).toBe("ok\n");
    expect((await fetch(`${url}/nothing`)).status).toBe(404);
  });
});

describe("numbers", () => {
  test("more connections than allowed are refused with 503, and welcome when others have gone", async () => {
    await using server = await startServer({ maxConnections: 2 });
    const first = await Wire.open(server.port, PRODUCE, V1);
    const second = await Wire.open(server.port, "/t");
    expect(await status(server, [V1_HEADER])).toBe(503);
    await first.close();
    await server.connections(1);
    expect(await status(server, [V1_HEADER])).toBe(101);
    expect(second.closed).toBeNull();
  });

  test("while 64 have not opened, the next waits for its turn; it gets in when one opens or goes", async () => {
    await using server = await startServer();
    const unopened = await Promise.all(Array.from({ length: 64 }, () => Wire.open(server.port, PRODUCE, V1)));
    const waiting = [
      await RawSocket.open(server.port, PRODUCE, [V1_HEADER]),
      await RawSocket.open(server.port, "/t"),
    ];
    await server.connections(64);
    expect(waiting.map((raw) => raw.status)).toEqual([0, 0]);
    await unopened[0]!.send(OPEN).next();
    await waiting[0]!.answered();
    await unopened[1]!.close();
    await waiting[1]!.answered();
    expect(waiting.map((raw) => raw.status)).toEqual([101, 101]);
    waiting[0]!.send(OPCODE.binary, fromHex(OPEN));
    expect((await waiting[0]!.next()).head).toBe(0x80 | OPCODE.binary);
    for (const raw of waiting) raw.cut();
  });
});

describe("unary calls that are wrong", () => {
  const json = { "Content-Type": "application/json" };
  const protobuf = { "Content-Type": "application/protobuf" };
  const cases: {
    what: string;
    method?: string;
    call?: string;
    headers?: Record<string, string>;
    body?: BodyInit;
    want: [number, string];
  }[] = [
    { what: "GET", method: "GET", want: [501, "unimplemented"] },
    { what: "no such method", call: "/tinymq.v1.Admin/Explode", body: "{}", want: [404, "not_found"] },
    { what: "no such service", call: "/tinymq.v1.TinyMQ/Produce", body: "{}", want: [404, "not_found"] },
    {
      what: "__proto__ as a method",
      call: "/tinymq.v1.Admin/__proto__",
      body: "{}",
      want: [404, "not_found"],
    },
    {
      what: "another content type",
      headers: { "Content-Type": "text/plain" },
      body: "{}",
      want: [400, "invalid_argument"],
    },
    { what: "no JSON", body: "{", want: [400, "invalid_argument"] },
    { what: "JSON that is no object", body: "[1]", want: [400, "invalid_argument"] },
    { what: "a field that there is not", body: '{"nothing":1}', want: [400, "invalid_argument"] },
    { what: "text that is not UTF-8", body: Uint8Array.of(0xff), want: [400, "invalid_argument"] },
    {
      what: "no protobuf",
      headers: protobuf,
      body: Uint8Array.of(0x0a, 0xff),
      want: [400, "invalid_argument"],
    },
    {
      what: "no such topic",
      call: "/tinymq.v1.Admin/GetTopic",
      body: '{"topic":"nothing"}',
      want: [404, "not_found"],
    },
    {
      what: "a topic named like what every object has",
      call: "/tinymq.v1.Admin/GetTopic",
      body: '{"topic":"__proto__"}',
      want: [404, "not_found"],
    },
  ];
  for (const {
    what,
    method = "POST",
    call = "/tinymq.v1.Admin/GetStatus",
    headers = json,
    body,
    want,
  } of cases) {
    test(`${what}: ${want[0]}`, async () => {
      await using server = await startServer();
      const response = await fetch(`http://127.0.0.1:${server.port}/twirp${call}`, { method, headers, body });
      expect(response.status).toBe(want[0]);
      expect(await response.json()).toEqual({ code: want[1], msg: expect.stringMatching(/./) });
    });
  }

  test("a token that is missing or wrong: 401", async () => {
    await using server = await startServer({ token: "secret" });
    const call = (authorization?: string) =>
      fetch(`http://127.0.0.1:${server.port}/twirp/tinymq.v1.Admin/GetStatus`, {
        method: "POST",
        headers: { ...json, ...(authorization === undefined ? {} : { Authorization: authorization }) },
        body: "{}",
      });
    for (const wrong of [undefined, "Bearer", "Bearer wrong", "Basic secret", "secret"]) {
      expect((await call(wrong)).status).toBe(401);
    }
    expect((await call("Bearer secret")).status).toBe(200);
    expect((await call("bearer secret")).status).toBe(200);
  });
});
