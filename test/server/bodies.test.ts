/** Bodies of unary calls: too large, too slow, too many, or never whole. */
import { afterAll, describe, expect, test } from "bun:test";
import { MemoryWatch, MiB, mebibytes } from "../proof/load.ts";
import { endServers, startServer as startProcess } from "../proof/server-process.ts";
import { startServer, type TestServer, until } from "../protocol/support.ts";
import { HealthyPair } from "./healthy-pair.ts";
import { Intruder } from "./intruder.ts";

afterAll(endServers);

const CALL = "/twirp/tinymq.v1.Admin/GetTopic";
const JSON_TYPE = { "Content-Type": "application/json" };
/** Bodies that are waited for, and their bytes. */
const READING = 64;
const READING_BYTES = 16 * MiB;

/** The head of a call; `length` null: in chunks. */
function head(length: number | null, path = CALL, token = ""): string {
  const size = length === null ? "Transfer-Encoding: chunked" : `Content-Length: ${length}`;
  const lines = [`POST ${path} HTTP/1.1`, "Host: 127.0.0.1", "Content-Type: application/json", size];
  if (token !== "") lines.push(`Authorization: Bearer ${token}`);
  return `${lines.join("\r\n")}\r\n\r\n`;
}

const statusOf = ({ received }: Intruder) => Number(received.subarray(9, 12).toString() || 0);

async function answered(intruder: Intruder): Promise<{ status: number; code: string }> {
  await until(() => statusOf(intruder) !== 0, "an answer");
  const text = intruder.received.toString();
  return { status: statusOf(intruder), code: JSON.parse(text.slice(text.indexOf("\r\n\r\n") + 4)).code };
}

async function call(
  server: TestServer,
  body: BodyInit,
): Promise<{ status: number; code: string; msg: string }> {
  const url = `http://127.0.0.1:${server.port}${CALL}`;
  const response = await fetch(url, { method: "POST", headers: JSON_TYPE, body });
  return { status: response.status, ...((await response.json()) as { code: string; msg: string }) };
}

describe("a body", () => {
  test("of 1 MiB is read; one byte more is refused with 413 and an error that Twirp's clients can read", async () => {
    await using server = await startServer();
    const most = `{"topic":"x"}${" ".repeat(MiB - 13)}`;
    expect(await call(server, most)).toMatchObject({ status: 404, code: "not_found" });
    for (const length of [MiB + 1, 2 * MiB, 20 * MiB]) {
      expect(await call(server, " ".repeat(length))).toEqual({
        status: 413,
        code: "out_of_range",
        msg: "the request's body is above 1 MiB",
      });
    }
  });

  test("above 1 MiB is refused before any of it came", async () => {
    await using server = await startServer();
    const announced = await Intruder.open(server.port, head(MiB + 1));
    expect(await answered(announced)).toEqual({ status: 413, code: "out_of_range" });
    announced.cut();
  });

  test("in chunks is read up to 1 MiB, whatever the length of a chunk", async () => {
    await using server = await startServer();
    const whole = await Intruder.open(server.port, `${head(null)}d\r\n{"topic":"x"}\r\n0\r\n\r\n`);
    expect(await answered(whole)).toEqual({ status: 404, code: "not_found" });
    const endless = await Intruder.open(server.port, `${head(null)}fffffff\r\n`);
    void endless.write(Buffer.alloc(MiB + 1, 32));
    expect(await answered(endless)).toEqual({ status: 413, code: "out_of_range" });
    for (const each of [whole, endless]) each.cut();
  });

  test("that comes in pieces within 5 s is read; one whose last byte does not is given up with 408", async () => {
    await using server = await startServer();
    const slow = await Intruder.open(server.port, `${head(13)}{"topic`);
    const silent = await Intruder.open(server.port, `${head(13)}{"topic":"x"`);
    await until(() => server.clock.pending > 0, "both to be read");
    await Bun.sleep(5);
    server.clock.advance(4_999);
    await slow.write(Buffer.from('":"x"}'));
    expect(await answered(slow)).toEqual({ status: 404, code: "not_found" });
    expect(statusOf(silent)).toBe(0);
    server.clock.advance(1);
    expect(await answered(silent)).toEqual({ status: 408, code: "deadline_exceeded" });
    for (const each of [slow, silent]) each.cut();
  });

  test("that ends with its connection is no fault of the server, and takes no place any more", async () => {
    await using server = await startServer();
    const open = () => Intruder.open(server.port, `${head(100)}{`);
    for (let count = 0; count < READING; count++) (await open()).cut();
    await Bun.sleep(20);
    const silent = await Promise.all(Array.from({ length: READING }, open));
    expect(await call(server, '{"topic":"x"}')).toMatchObject({ status: 404 });
    // The whole one was one more than 64.
    expect(silent.filter((each) => statusOf(each) !== 0).length).toBeLessThanOrEqual(1);
    expect(server.log.filter((line) => line.startsWith("error"))).toEqual([]);
    for (const each of silent) each.cut();
  });
});

describe("many bodies that do not end", () => {
  test("64 are waited for; each one more ends the oldest, and a whole one is always read", async () => {
    await using server = await startServer();
    const all: Intruder[] = [];
    for (let count = 0; count < READING + 36; count++) {
      all.push(await Intruder.open(server.port, `${head(13)}{`));
      if (count % 10 === 9) expect(await server.admin("GetStatus")).toMatchObject({ connections: 0 });
    }
    const ended = () => all.filter((each) => statusOf(each) !== 0);
    await until(() => ended().length >= 36, "the oldest to give way");
    expect(await call(server, '{"topic":"x"}')).toMatchObject({ status: 404 });
    for (const each of ended())
      expect(await answered(each)).toEqual({ status: 429, code: "resource_exhausted" });
    // Of the calls between them, which come whole, some found 64 others.
    expect(ended().length).toBeLessThanOrEqual(36 + 1);
    for (const each of all) each.cut();
  });

  test("without the token none is waited for", async () => {
    await using server = await startServer({ token: "secret" });
    for (const token of ["", "wrong"]) {
      const silent = await Intruder.open(server.port, head(MiB, CALL, token));
      expect(await answered(silent)).toEqual({ status: 401, code: "unauthenticated" });
      silent.cut();
    }
    expect(server.clock.pending).toBe(0);
  });

  for (const [who, token] of [
    ["who has the token", "secret"],
    ["who has it not", "wrong"],
  ] as const) {
    test(`of 200 clients ${who}, in a process of its own: memory is bounded, and a pair loses nothing`, async () => {
      const server = await startProcess(token === "wrong" ? { token: "secret" } : {});
      const idlePair = token === "wrong" ? null : await HealthyPair.start(server.port);
      await idlePair?.passes();
      const idle = server.resident;
      const watch = new MemoryWatch(server.pid);
      const part = new Uint8Array(MiB - 1);
      const all = await Promise.all(
        Array.from({ length: 200 }, () => Intruder.open(server.port, head(MiB, CALL, token))),
      );
      // The system has all that the server has not read.
      for (const each of all) void each.write(part);
      await until(
        () => all.filter((each) => statusOf(each) !== 0).length >= 200 - READING,
        "most to be given up",
      );
      if (idlePair !== null) expect(await idlePair.stop()).toBeGreaterThan(0);
      const peak = watch.stop();
      console.log(`200 bodies but for their last byte, ${who}: ${mebibytes(peak - idle)} above idle`);
      // Beside what is counted: what Bun has read and not handed out, and has not collected.
      expect(peak - idle).toBeLessThan(READING_BYTES + 96 * MiB);
      for (const each of all) each.cut();
    }, 30_000);
  }
});

test("a handshake with a body is none: nothing waits with it", async () => {
  await using server = await startServer();
  const lines = [
    "POST /tinymq.v1.TinyMQ/Produce HTTP/1.1",
    `Host: 127.0.0.1:${server.port}`,
    "Upgrade: websocket",
    "Connection: Upgrade",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Protocol: tinymq.v1",
    `Content-Length: ${MiB}`,
  ];
  const intruder = await Intruder.open(server.port, `${lines.join("\r\n")}\r\n\r\n`);
  await until(() => statusOf(intruder) !== 0, "an answer");
  expect(statusOf(intruder)).toBe(400);
  intruder.cut();
});
