/** Starting and stopping: one server on a port, and a stop that comes at any moment. */
import { afterAll, describe, expect, spyOn, test } from "bun:test";
import * as fs from "node:fs";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { TinyMQError } from "../../src/index.ts";
import { type ServerOptions, TinyMQServer } from "../../src/server/index.ts";
import { endServers, makeFolder, ServerProcess, startServer } from "../proof/server-process.ts";
import { store, stored } from "./raw-messages.ts";

afterAll(endServers);

const HOST = "127.0.0.1";

/** What `start` throws; null: it started, and is stopped again. */
async function refused(options: ServerOptions, host?: string, port?: number): Promise<TinyMQError | null> {
  const server = new TinyMQServer(options);
  const error = await server.start(host, port).then(
    () => null,
    (thrown) => thrown,
  );
  await server.stop();
  return error;
}

/** Whether somebody takes connections there. */
async function isTaken(host: string, port: number): Promise<boolean> {
  const socket = await Bun.connect({ hostname: host, port, socket: { data() {}, error() {} } }).catch(
    () => null,
  );
  socket?.end();
  return socket !== null;
}

describe("a port has one server", () => {
  for (const host of [HOST, "::1", "localhost"]) {
    test(`${host}: the second one of this process is refused, on every address of the first`, async () => {
      await using first = new TinyMQServer();
      await first.start(host, 0);
      for (const address of [host, ...first.addresses]) {
        const error = await refused({}, address, first.port);
        expect({ address, code: error?.code }).toEqual({ address, code: "ALREADY_EXISTS" });
        expect(error?.message).toContain(`port ${first.port}`);
      }
      expect(await stored(first.port, "none", first.addresses[0])).toBe(0);
    });
  }

  test("a second process is refused, and the first one keeps every connection", async () => {
    const first = await startServer({ host: "localhost" });
    for (const host of ["localhost", HOST, "::1"]) {
      const { code, log } = await new ServerProcess({ host, port: first.port }, makeFolder()).ended();
      expect({ host, code }).toEqual({ host, code: 1 });
      expect(log).toContain("in use");
    }
    for (let count = 1; count <= 20; count++) {
      await store(first.port, "orders", 1);
      expect(await stored(first.port, "orders")).toBe(count);
    }
  }, 30_000);

  test("one whose second loopback address is taken lets go of the first", async () => {
    const taken = Bun.serve({ hostname: "::1", port: 0, reusePort: false, fetch: () => new Response() });
    const error = await refused({}, "localhost", taken.port!);
    expect(error?.code).toBe("ALREADY_EXISTS");
    expect(await isTaken(HOST, taken.port!)).toBe(false);
    await taken.stop(true);
  });
});

describe("a stop during a start", () => {
  /** A file with a snapshot of `count` messages. */
  async function snapshot(count: number, bytes = 10): Promise<string> {
    const file = join(makeFolder(), "queue");
    const server = new TinyMQServer({ snapshot: file });
    await server.start(HOST, 0);
    await store(server.port, "orders", count, bytes);
    await server.stop();
    return file;
  }

  /** Starts, stops after `turns` turns of the event loop, and says how both ended. */
  async function interrupted(file: string, turns: number): Promise<string> {
    const server = new TinyMQServer({ snapshot: file });
    const starting = server.start(HOST, 0).then(
      () => "started",
      (error: TinyMQError) => error.code,
    );
    for (let turn = 0; turn < turns; turn++) await new Promise((resolve) => setImmediate(resolve));
    await Promise.all([server.stop(), server.stop()]);
    const how = await starting;
    if (how !== "started") expect(server.addresses).toEqual([]);
    const { port } = server;
    expect(port === 0 ? false : await isTaken(HOST, port)).toBe(false);
    return how;
  }

  test("at any turn ends in a server that is stopped, and the next start has every message", async () => {
    const file = await snapshot(20, 1_000_000);
    const outcomes = new Set<string>();
    for (let turns = 0; turns < 40; turns += turns < 8 ? 1 : 8) outcomes.add(await interrupted(file, turns));
    // In time, while the file was read too, and too late.
    expect([...outcomes].sort()).toEqual(["CANCELLED", "started"]);
    await using server = new TinyMQServer({ snapshot: file });
    await server.start(HOST, 0);
    expect(await stored(server.port, "orders")).toBe(20);
  }, 30_000);

  test("while the file is read takes nothing from it", async () => {
    const file = await snapshot(20, 1_000_000);
    const before = readFileSync(file);
    const server = new TinyMQServer({ snapshot: file });
    const starting = server.start(HOST, 0).catch((error) => error);
    // It is read in pieces, between which others have their turn.
    const read = spyOn(fs, "readSync");
    while (read.mock.calls.length < 5) await new Promise((resolve) => setImmediate(resolve));
    read.mockRestore();
    await server.stop();
    expect(await starting).toMatchObject({ code: "CANCELLED" });
    expect(readFileSync(file).equals(before)).toBe(true);
    expect(existsSync(`${file}.restored`)).toBe(false);
  });

  test("before the start: it never starts", async () => {
    const server = new TinyMQServer();
    await server.stop();
    expect(await server.start(HOST, 0).catch((error) => error.code)).toBe("FAILED_PRECONDITION");
    expect(server.addresses).toEqual([]);
  });

  test("a start that failed can be stopped", async () => {
    const server = new TinyMQServer({ tokenFile: "/nowhere/token" });
    expect(await server.start(HOST, 0).catch((error) => error.code)).toBe("INVALID_ARGUMENT");
    await server.stop();
    await server.stop();
  });
});

describe("a snapshot that cannot be retired", () => {
  async function start(file: string): Promise<{ error: TinyMQError | null; server: TinyMQServer }> {
    const server = new TinyMQServer({ snapshot: file });
    const error = await server.start(HOST, 0).then(
      () => null,
      (thrown) => thrown,
    );
    return { error, server };
  }

  async function expectAllThere(file: string): Promise<void> {
    const { error, server } = await start(file);
    expect(error).toBeNull();
    expect(await stored(server.port, "orders")).toBe(3);
    expect(existsSync(file)).toBe(false);
    await server.stop();
  }

  async function threeMessages(): Promise<string> {
    const file = join(makeFolder(), "queue");
    const { server } = await start(file);
    await store(server.port, "orders", 3);
    await server.stop();
    return file;
  }

  const TAKERS: [what: string, make: (path: string) => void][] = [
    ["a folder", (path) => mkdirSync(path)],
    ["a file", (path) => writeFileSync(path, "years of work")],
  ];
  for (const [what, make] of TAKERS) {
    test(`because ${what} took its new name meanwhile: nobody listens, and the next start finds it`, async () => {
      const file = await threeMessages();
      const listen = Bun.serve;
      const serve = spyOn(Bun, "serve").mockImplementation(((options: Parameters<typeof Bun.serve>[0]) => {
        make(`${file}.restored`);
        return listen(options);
      }) as typeof Bun.serve);
      const { error, server } = await start(file);
      expect(serve).toHaveBeenCalledTimes(1);
      const { port } = serve.mock.results[0]!.value as { port: number };
      serve.mockRestore();
      expect(error?.code).toBe("FAILED_PRECONDITION");
      expect(error?.message).toContain(`${file}.restored is `);
      expect(error?.message).toContain(`The messages are in ${file}`);
      expect([server.addresses, server.port]).toEqual([[], 0]);
      expect(await isTaken(HOST, port)).toBe(false);
      await server.stop();
      fs.renameSync(`${file}.restored`, `${file}-moved`);
      if (what === "a file") expect(readFileSync(`${file}-moved`, "utf8")).toBe("years of work");
      await expectAllThere(file);
    });
  }

  test("because its folder cannot be synced: neither is the next start empty, nor is anything consumed twice", async () => {
    const file = await threeMessages();
    const sync = spyOn(fs, "fsyncSync").mockImplementation(() => {
      throw Object.assign(new Error("EIO: i/o error, fsync"), { code: "EIO" });
    });
    const { error, server } = await start(file);
    sync.mockRestore();
    expect(error?.code).toBe("FAILED_PRECONDITION");
    expect(error?.message).toContain("EIO");
    expect(server.addresses).toEqual([]);
    await expectAllThere(file);
  });

  test("and cannot be put back either: the error says where it is", async () => {
    const file = await threeMessages();
    const sync = spyOn(fs, "fsyncSync").mockImplementation(() => {
      // By then the new name has it; a folder in its old place keeps it from coming back.
      mkdirSync(file);
      writeFileSync(join(file, "mine"), "keep");
      throw new Error("EIO: i/o error, fsync");
    });
    const { error } = await start(file);
    sync.mockRestore();
    expect(error?.message).toContain(`The messages are in ${file}.restored`);
    rmSync(file, { recursive: true });
    fs.renameSync(`${file}.restored`, file);
    await expectAllThere(file);
  });
});
