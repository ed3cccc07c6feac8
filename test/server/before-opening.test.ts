/** What somebody can cost who has not opened a stream: little, and nobody else a turn. */
import { afterAll, describe, expect, test } from "bun:test";
import { MemoryWatch, MiB, mebibytes } from "../proof/load.ts";
import { endServers, type ServerProcess, startServer as startProcess } from "../proof/server-process.ts";
import { fromHex, startServer, toHex, until, Wire } from "../protocol/support.ts";
import { HealthyPair } from "./healthy-pair.ts";
import { frame, frameHead, Intruder } from "./intruder.ts";

afterAll(endServers);

const V1 = { protocol: "tinymq.v1" };
const PRODUCE = "/tinymq.v1.TinyMQ/Produce";
const PATHS = [PRODUCE, "/tinymq.v1.TinyMQ/Consume", "/tinymq.v1.TinyMQ/Subscribe", "/v0"];
const OPCODE = { binary: 2, close: 8 };
const FIRST_FRAME = 4_096;
const UNOPENED = 64;
/** Largest frame that is taken, and what the socket takes beyond it. */
const MAX_FRAME = 1_115_136;
const SOCKET_SLACK = 65_536;

const open = (path: string) => Wire.open(1, path, V1);
type Opener = typeof open;

function opener(port: number): Opener {
  return (path) => Wire.open(port, path, path === "/v0" ? {} : V1);
}

/** An open frame for topic "t" of exactly `length` bytes: the rest is a field that nobody knows. */
function openFrame(path: string, length: number): Uint8Array {
  const varint = (value: number) => [(value & 127) | 128, value >>> 7];
  const topic = path === "/v0" ? fromHex("0d01000000120174") : fromHex("0a0174");
  const head = path === "/v0" ? 0 : 3;
  const filling = length - head - topic.length - 4;
  // Field 99, wire type 2.
  const unknown = Buffer.concat([fromHex("9a06"), Uint8Array.from(varint(filling)), new Uint8Array(filling)]);
  const content = Buffer.concat([topic, unknown]);
  if (path === "/v0") return content;
  return Buffer.concat([Uint8Array.from([0x0a, ...varint(content.length)]), content]);
}

describe("a first frame", () => {
  for (const path of PATHS) {
    test(`of 4 KiB opens ${path}; one byte more closes with 4011, before anything of it is read`, async () => {
      await using server = await startServer({ token: path === PRODUCE ? "secret" : "" });
      const connect = opener(server.port);
      const most = openFrame(path, FIRST_FRAME);
      expect(most.length).toBe(FIRST_FRAME);
      const fitting = (await connect(path)).send(most);
      // The token is asked for only of those who say who they are in a frame that is read.
      if (path === PRODUCE) expect((await fitting.end()).code).toBe(4016);
      else expect(toHex(await fitting.next())).toMatch(/^0[ad]/);
      for (const bytes of [
        openFrame(path, FIRST_FRAME + 1),
        new Uint8Array(FIRST_FRAME + 1),
        new Uint8Array(MiB),
      ]) {
        const { code, reason } = await (await connect(path)).send(bytes).end();
        expect(code).toBe(4011);
        expect(reason).toBe(`a first frame of ${bytes.length} bytes; the limit is ${FIRST_FRAME}`);
      }
      if (fitting.closed === null) await fitting.close();
      await server.connections(0);
    });

    test(`behind it, ${path} takes larger ones: 4011 above our limit, 1009 above the socket's`, async () => {
      await using server = await startServer();
      const connect = opener(server.port);
      const opened = async () => {
        const wire = (await connect(path)).send(openFrame(path, 100));
        await wire.next();
        return wire;
      };
      const { code, reason } = await (await opened()).send(new Uint8Array(MAX_FRAME + 1)).end();
      expect({ code, reason }).toEqual({
        code: 4011,
        reason: `a frame of ${MAX_FRAME + 1} bytes; the limit is ${MAX_FRAME}`,
      });
      expect((await (await opened()).send(new Uint8Array(MAX_FRAME + SOCKET_SLACK)).end()).code).toBe(4011);
      expect((await (await opened()).send(new Uint8Array(MAX_FRAME + SOCKET_SLACK + 1)).end()).code).toBe(
        1009,
      );
      // Read, and refused for what it says.
      expect((await (await opened()).send(new Uint8Array(MAX_FRAME)).end()).code).not.toBe(4011);
    });
  }

  test("that is followed by others at once: those may be larger", async () => {
    await using server = await startServer();
    const wire = await Wire.open(server.port, PRODUCE, V1);
    const body = new Uint8Array(60_000);
    const entry = Buffer.concat([fromHex("0ae4d403"), fromHex("12e0d403"), body]);
    const batch = Buffer.concat([fromHex("08012ae8d403"), entry]);
    wire.send("0a030a0174").send(Buffer.concat([fromHex("12eed403"), batch]));
    await wire.next();
    expect(await wire.nextHex()).toBe("12020801");
    await wire.close();
  });
});

describe("connections that stay silent", () => {
  test("at 64, the oldest that had its second is closed for the next one, and for one only", async () => {
    await using server = await startServer();
    const silent = [await Wire.open(server.port, PRODUCE, V1)];
    server.clock.advance(1);
    while (silent.length < UNOPENED) silent.push(await Wire.open(server.port, PRODUCE, V1));
    const next = await Intruder.upgraded(server.port, PRODUCE, "tinymq.v1", false);
    await server.connections(UNOPENED);
    server.clock.advance(998);
    expect(await server.admin("GetStatus")).toMatchObject({ connections: UNOPENED });
    expect([next.isUpgraded, silent[0]!.closed]).toEqual([false, null]);
    server.clock.advance(1);
    await until(() => next.isUpgraded, "the next one's turn");
    await silent[0]!.end();
    await server.connections(UNOPENED);
    expect(silent.filter(({ closed }) => closed !== null)).toHaveLength(1);
    // Nobody waits: nobody is closed before the 5 s that each has.
    server.clock.advance(3_000);
    await server.connections(UNOPENED);
    next.cut();
  });

  test("a hundred more than 64: all have their turn, as many in a second as there are places", async () => {
    await using server = await startServer();
    const all: Intruder[] = [];
    for (let count = 0; count < UNOPENED + 100; count++) {
      all.push(
        await Intruder.upgraded(server.port, PATHS[count % 4]!, count % 4 === 3 ? "" : "tinymq.v1", false),
      );
    }
    const upgraded = () => all.filter(({ isUpgraded }) => isUpgraded).length;
    for (const expected of [64, 128, 164]) {
      await until(() => upgraded() === expected, `${expected} of them let in`);
      await server.connections(Math.min(64, expected));
      server.clock.advance(1_000);
    }
    for (const each of all) each.cut();
    await server.connections(0);
  });

  test("who has opened keeps its place for ever, and those who open leave room at once", async () => {
    await using server = await startServer();
    const opened = await Promise.all(
      Array.from({ length: 2 * UNOPENED }, async () => {
        const wire = await Wire.open(server.port, PRODUCE, V1);
        await wire.send("0a030a0174").next();
        return wire;
      }),
    );
    server.clock.advance(2_000);
    const silent = await Promise.all(
      Array.from({ length: UNOPENED + 1 }, () => Intruder.upgraded(server.port, PRODUCE, "tinymq.v1", false)),
    );
    await server.connections(opened.length + UNOPENED);
    server.clock.advance(1_000);
    await until(() => silent.every(({ isUpgraded }) => isUpgraded), "the last one's turn");
    expect(opened.filter(({ closed }) => closed !== null)).toEqual([]);
    for (const each of silent) each.cut();
    for (const wire of opened) await wire.close();
  });

  test("those who wait and go away before their turn take none", async () => {
    await using server = await startServer();
    const silent = await Promise.all(
      Array.from({ length: UNOPENED }, () => Wire.open(server.port, PRODUCE, V1)),
    );
    const gone = await Promise.all(
      Array.from({ length: 50 }, () => Intruder.upgraded(server.port, PRODUCE, "tinymq.v1", false)),
    );
    await server.connections(UNOPENED);
    for (const each of gone) each.cut();
    const last = await Intruder.upgraded(server.port, PRODUCE, "tinymq.v1", false);
    await silent[0]!.close();
    await until(() => last.isUpgraded, "the last one's turn");
    last.cut();
    for (const wire of silent.slice(1)) wire.terminate();
    await server.connections(0);
  });

  test("two hundred of them, for as long as they like: a pair beside them comes in and loses nothing", async () => {
    const server = await startProcess();
    const silent = await Promise.all(
      Array.from({ length: 200 }, () => Intruder.upgraded(server.port, PRODUCE, "tinymq.v1", false)),
    );
    const pair = await startPair(server);
    expect(await pair.stop()).toBeGreaterThan(0);
    for (const each of silent) each.cut();
  }, 30_000);
});

/** A pair's handshakes may wait for some seconds, which is longer than its own patience. */
async function startPair(server: ServerProcess): Promise<HealthyPair> {
  for (let tries = 1; ; tries++) {
    try {
      return await HealthyPair.start(server.port);
    } catch (error) {
      if (tries === 5) throw error;
    }
  }
}

describe("memory of what has not opened, in a process of its own", () => {
  /** What Bun, and what it has not collected, may hold beside what is counted. */
  const SLACK = 48 * MiB;

  async function idleServer(): Promise<{ server: ServerProcess; idle: number }> {
    const server = await startProcess();
    const pair = await HealthyPair.start(server.port, "before");
    await pair.passes();
    await pair.stop();
    return { server, idle: server.resident };
  }

  test("first frames of 1 MiB, full of objects if they were decoded: no more than their bytes", async () => {
    const { server, idle } = await idleServer();
    const watch = new MemoryWatch(server.pid);
    // `ConsumeRequest { pull { settles: half a million } }`
    const settles = Buffer.alloc(MiB - 4, fromHex("3200"));
    const bytes = frame(OPCODE.binary, Buffer.concat([fromHex("12fcff3f"), settles]));
    const pair = await HealthyPair.start(server.port);
    for (let round = 0; round < 5; round++) {
      const all = await Promise.all(
        Array.from({ length: 63 }, () => Intruder.upgraded(server.port, PATHS[1]!)),
      );
      await Promise.all(all.map((each) => each.write(bytes)));
      await until(() => all.every(({ ended }) => ended), "the end of each");
      for (const each of all) each.cut();
    }
    expect(await pair.stop()).toBeGreaterThan(0);
    const peak = watch.stop();
    console.log(`315 first frames of 1 MiB: ${mebibytes(peak - idle)} above idle`);
    expect(peak - idle).toBeLessThan(UNOPENED * MiB + SLACK);
  }, 60_000);

  test("unfinished first frames: no more than 64 of them at once, however many connections there are", async () => {
    const { server, idle } = await idleServer();
    const watch = new MemoryWatch(server.pid);
    const part = Buffer.concat([frameHead(OPCODE.binary, MAX_FRAME), new Uint8Array(MAX_FRAME - 1)]);
    const all: Intruder[] = [];
    for (let count = 0; count < 300; count++) {
      all.push(await Intruder.upgraded(server.port, PRODUCE, "tinymq.v1", false));
      // Those whose turn it is not are told so by the server: no byte of theirs is kept.
      void all.at(-1)!.write(part);
    }
    const pair = await startPair(server);
    expect(await pair.stop()).toBeGreaterThan(0);
    const peak = watch.stop();
    console.log(`300 unfinished frames: ${mebibytes(peak - idle)} above idle`);
    expect(peak - idle).toBeLessThan(UNOPENED * (MAX_FRAME + SOCKET_SLACK) + SLACK);
    for (const each of all) each.cut();
  }, 60_000);

  test("unfinished first frames of clients that close and stay: 64 more at once", async () => {
    const { server, idle } = await idleServer();
    const watch = new MemoryWatch(server.pid);
    // A frame that is continued, and a close frame amid it.
    const head = frameHead(OPCODE.binary, MiB);
    head[0] = OPCODE.binary;
    const bytes = Buffer.concat([head, new Uint8Array(MiB), frame(OPCODE.close, fromHex("03e8"))]);
    const all: Intruder[] = [];
    for (let count = 0; count < 400; count++) {
      const each = await Intruder.upgraded(server.port, PRODUCE, "tinymq.v1", false);
      all.push(each);
      void each.write(bytes);
    }
    const pair = await startPair(server);
    expect(await pair.stop()).toBeGreaterThan(0);
    const peak = watch.stop();
    console.log(`400 unfinished frames and their close: ${mebibytes(peak - idle)} above idle`);
    // Of 64 that have not opened, and 64 that have closed.
    expect(peak - idle).toBeLessThan(2 * UNOPENED * MiB + SLACK);
    for (const each of all) each.cut();
  }, 60_000);
});
