/** What HTTP clients and operators are told: where a WebSocket belongs, what was refused, what went wrong. */
import { describe, expect, spyOn, test } from "bun:test";
import type { Core } from "../../src/server/core.ts";
import { type HttpHost, handleRequest } from "../../src/server/http.ts";
import { TinyMQServer } from "../../src/server/index.ts";
import { startServer, type TestServer, until, Wire } from "../protocol/support.ts";
import { HealthyPair } from "./healthy-pair.ts";
import { Intruder } from "./intruder.ts";

const METHODS = ["Produce", "Consume", "Subscribe"];
const JSON_TYPE = { "Content-Type": "application/json" };
const SECRET = "the pool of slabs is upside down";

const urlOf = (server: { port: number }, path: string) => `http://127.0.0.1:${server.port}${path}`;
const lines = (server: TestServer, level: string) => server.log.filter((line) => line.startsWith(level));

describe("a stream's path without a WebSocket", () => {
  for (const method of METHODS) {
    test(`${method}: 426, with what to do`, async () => {
      await using server = await startServer();
      for (const init of [{}, { method: "POST", body: "{}" }, { method: "HEAD" }]) {
        const response = await fetch(urlOf(server, `/tinymq.v1.TinyMQ/${method}`), init);
        expect(response.status).toBe(426);
        expect(response.headers.get("upgrade")).toBe("websocket");
        const text = await response.text();
        if (init.method !== "HEAD") expect(text).toContain("connect with a WebSocket");
        if (init.method !== "HEAD") expect(text).toContain("tinymq.v1");
      }
    });
  }

  test("of another version of WebSockets: refused, with what to do", async () => {
    await using server = await startServer();
    const response = await fetch(urlOf(server, "/tinymq.v1.TinyMQ/Produce"), {
      headers: {
        Upgrade: "websocket",
        Connection: "Upgrade",
        "Sec-WebSocket-Version": "8",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Protocol": "tinymq.v1",
      },
    });
    expect(response.status).toBe(426);
    expect(response.headers.get("sec-websocket-version")).toBe("13");
    expect(await response.text()).toContain("13");
  });

  test("any other path: 404", async () => {
    await using server = await startServer();
    for (const path of ["/", "/greetings", "/tinymq.v1.Admin/GetStatus", "/tinymq.v1.TinyMQ"]) {
      expect((await fetch(urlOf(server, path))).status).toBe(404);
    }
  });
});

describe("a fault of the server", () => {
  const unexpected = { code: "internal", msg: "unexpected error; the server's log has the stack trace" };

  test("in a unary call: the log has its stack, the client is told that it has", async () => {
    await using server = await startServer();
    const memory = spyOn(process.memoryUsage, "rss").mockImplementation(() => {
      throw new Error(SECRET);
    });
    for (const type of ["application/json", "application/protobuf"]) {
      const response = await fetch(urlOf(server, "/twirp/tinymq.v1.Admin/GetStatus"), {
        method: "POST",
        headers: { "Content-Type": type },
      });
      expect(response.status).toBe(500);
      expect(await response.json()).toEqual(unexpected);
    }
    memory.mockRestore();
    expect(lines(server, "error")).toHaveLength(2);
    for (const line of lines(server, "error")) {
      expect(line).toContain(SECRET);
      expect(line).toContain("/twirp/tinymq.v1.Admin/GetStatus");
      expect(line).toMatch(/\n\s+at .*\.ts:\d+/);
    }
    expect(await server.admin("GetStatus")).toMatchObject({ connections: 0 });
  });

  test("what a client did wrong is no fault of the server: nothing is logged as an error", async () => {
    await using server = await startServer();
    for (const [call, body] of [
      ["GetTopic", '{"topic":"x"}'],
      ["GetTopic", "{"],
      ["Explode", "{}"],
    ]) {
      await fetch(urlOf(server, `/twirp/tinymq.v1.Admin/${call}`), {
        method: "POST",
        headers: JSON_TYPE,
        body,
      });
    }
    expect(lines(server, "error")).toEqual([]);
  });

  test("before a request has its handler: the same, and the server goes on", async () => {
    const log: string[] = [];
    const quiet = () => {};
    const logger = { debug: quiet, info: quiet, warn: quiet, error: (line: string) => void log.push(line) };
    await using server = new TinyMQServer({ logger });
    await server.start("127.0.0.1", 0);
    const url = spyOn(globalThis, "URL").mockImplementation((() => {
      throw new Error(SECRET);
    }) as never);
    const client = await Intruder.open(server.port, "GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n");
    await until(() => client.received.length > 0, "an answer");
    url.mockRestore();
    expect(client.received.toString()).toStartWith("HTTP/1.1 500");
    expect(client.received.toString()).not.toContain(SECRET);
    expect(log.join()).toContain(SECRET);
    client.cut();
    const pair = await HealthyPair.start(server.port);
    expect(await pair.stop()).toBeGreaterThan(0);
  });
});

test.each([null, "tinymq.v1"])(
  "a handshake (%p) that a stop overtakes gets 503, and no stream",
  async (protocol) => {
    let isStopping = false;
    let load: (core: Core) => void = () => {};
    const host: HttpHost = {
      core: null,
      loadCore: () => new Promise((resolve) => (load = resolve)),
      get stopping() {
        return isStopping;
      },
      allowOrigin: [],
      authenticate: () => null,
      refused: () => {},
    };
    const headers: Record<string, string> = {
      Host: "localhost",
      Upgrade: "websocket",
      "Sec-WebSocket-Version": "13",
    };
    if (protocol !== null) headers["Sec-WebSocket-Protocol"] = protocol;
    const request = new Request("http://localhost/topic", { headers });
    const answer = handleRequest(host, request, { hostname: "localhost" } as never);
    const places = { hasRoom: true, taken: 0, enter: () => ++places.taken, leave: () => --places.taken };
    isStopping = true;
    load({ admission: places, v0: async () => () => {} } as never);
    expect((await answer)!.status).toBe(503);
    expect(places.taken).toBe(0);
  },
);

describe("a refused Origin or Host is logged as a warning, with what to allow", () => {
  const site = "https://shop.example.com";

  test("of a WebSocket, a unary call and a health check, each", async () => {
    await using server = await startServer();
    const headers = { Origin: site };
    const wire = await Wire.open(server.port, "/tinymq.v1.TinyMQ/Produce", {
      protocol: "tinymq.v1",
      headers,
    });
    await wire.end();
    await fetch(urlOf(server, "/health"), { headers });
    await fetch(urlOf(server, "/twirp/tinymq.v1.Admin/GetStatus"), { method: "POST", headers });
    expect(lines(server, "warn")).toHaveLength(3);
    for (const line of lines(server, "warn")) {
      expect(line).toContain(site);
      expect(line).toContain(`--allow-origin ${site}`);
    }
    const refused = await fetch(urlOf(server, "/health"), { headers: { Host: "queue.example.com" } });
    expect(refused.status).toBe(403);
    expect(lines(server, "warn")[3]).toContain("queue.example.com");
    expect(lines(server, "warn")[3]).toContain("--host");
    expect(lines(server, "warn")[3]).toContain("localhost");
  });

  test("at a bounded rate, in lines of a bounded length, and apart from what streams do wrong", async () => {
    await using server = await startServer();
    const long = { Origin: `https://${"x".repeat(4_000)}.example.com` };
    for (let count = 0; count < 100; count++) await fetch(urlOf(server, "/health"), { headers: long });
    expect(lines(server, "warn")).toHaveLength(10);
    for (const line of lines(server, "warn")) expect(line.length).toBeLessThan(600);
    const wire = await Wire.open(server.port, "/tinymq.v1.TinyMQ/Produce", { protocol: "tinymq.v1" });
    wire.socket.send("text");
    await wire.end();
    expect(lines(server, "warn")[10]).toContain("a text frame");
    server.clock.advance(60_000);
    await fetch(urlOf(server, "/health"), { headers: { Origin: site } });
    expect(lines(server, "warn")[11]).toContain("90 more lines were left out");
    expect(lines(server, "warn")[12]).toContain(site);
  });

  test("what is allowed is not logged", async () => {
    await using server = await startServer({ allowOrigin: site });
    expect((await fetch(urlOf(server, "/health"), { headers: { Origin: site } })).status).toBe(200);
    expect(lines(server, "warn")).toEqual([]);
  });
});
