/** Files that options name and that are not what they should be: refused at once, and left as they are. */
import { afterAll, describe, expect, test } from "bun:test";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { type ServerOptions, TinyMQServer } from "../../src/server/index.ts";
import { endServers, makeFolder, ServerProcess, startServer } from "../proof/server-process.ts";
import { store, stored } from "./raw-messages.ts";

afterAll(endServers);

const HOST = "127.0.0.1";

async function refusedWith(options: ServerOptions): Promise<{ code: string; message: string }> {
  const server = new TinyMQServer(options);
  const error = await server.start(HOST, 0).then(
    () => ({ code: "none", message: "it started" }),
    (thrown) => thrown,
  );
  await server.stop();
  return error;
}

/** Everything below a folder: names, kinds and contents. */
function contentsOf(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .map((entry) => {
      const path = join(entry.parentPath, entry.name);
      return `${path} ${entry.isFile() ? readFileSync(path, "latin1") : statSync(path).mode}`;
    })
    .sort();
}

function makeFifo(path: string): string {
  Bun.spawnSync(["mkfifo", path]);
  return path;
}

describe("a snapshot that is none", () => {
  const PREPARED: [what: string, why: string, make: (path: string) => void][] = [
    ["a folder", "is a folder", (path) => mkdirSync(path)],
    [
      "a folder with files",
      "is a folder",
      (path) => {
        mkdirSync(path);
        writeFileSync(join(path, "thesis"), "years of work");
      },
    ],
    ["text", "is not a tinyMQ snapshot", (path) => writeFileSync(path, "years of work, of somebody else")],
    ["an empty file", "is not a tinyMQ snapshot", (path) => writeFileSync(path, "")],
    ["the first bytes alone", "is not a tinyMQ snapshot", (path) => writeFileSync(path, "tinymq-")],
    ["one of another version", "another version", (path) => writeFileSync(path, "tinymq-9 and what it has")],
    ["a FIFO", "is a FIFO", (path) => makeFifo(path)],
    ["a device", "is a device", (path) => symlinkSync("/dev/zero", path)],
    ["a link to a folder", "is a folder", (path) => symlinkSync(makeFolder(), path)],
  ];
  for (const [what, why, make] of PREPARED) {
    test(`${what}: refused, and nothing is renamed or written`, async () => {
      const folder = makeFolder();
      const path = join(folder, "queue");
      make(path);
      const before = contentsOf(folder);
      const { code, message } = await refusedWith({ snapshot: path });
      expect(code).toBe("FAILED_PRECONDITION");
      expect(message).toContain(path);
      expect(message).toContain(why);
      expect(contentsOf(folder)).toEqual(before);
    });
  }

  test("a process that is told to use one ends at once, with 1 and the reason", async () => {
    const folder = makeFolder();
    const fifo = makeFifo(join(folder, "fifo"));
    for (const path of [fifo, folder]) {
      const { code, log } = await new ServerProcess({ snapshot: path }, makeFolder()).ended();
      expect({ path, code }).toEqual({ path, code: 1 });
      expect(log).toContain(path);
    }
    expect(existsSync(`${folder}.damaged`)).toBe(false);
  }, 30_000);

  test("one that comes while the server runs is not written over, and the messages are kept beside it", async () => {
    const folder = makeFolder();
    const path = join(folder, "queue");
    const server = new TinyMQServer({ snapshot: path });
    await server.start(HOST, 0);
    await store(server.port, "orders", 3);
    writeFileSync(path, "years of work");
    const error = await server.stop().catch((thrown) => thrown);
    expect(error).toMatchObject({ code: "FAILED_PRECONDITION" });
    expect(readFileSync(path, "utf8")).toBe("years of work");
    const kept = join(folder, `queue.written-${process.pid}`);
    expect(error.message).toContain(kept);
    await using next = new TinyMQServer({ snapshot: kept });
    await next.start(HOST, 0);
    expect(await stored(next.port, "orders")).toBe(3);
  });
});

describe("snapshots that were not finished", () => {
  test("of dead processes are removed at the start; nothing else is", async () => {
    const folder = makeFolder();
    const dead = Bun.spawn(["true"]);
    await dead.exited;
    const alive = await startServer();
    const mine = [
      "queue.writing-",
      "queue.writing-x1",
      "queue.writing-0",
      "other.writing-1",
      "queue.writing",
    ];
    const name = (pid: number) => `queue.writing-${pid}`;
    for (const each of [...mine, name(dead.pid), name(process.pid), name(alive.pid)]) {
      writeFileSync(join(folder, each), "half of it");
    }
    // A folder of that name is nobody's snapshot.
    mkdirSync(join(folder, name(dead.pid + 4_000_000)));
    const server = new TinyMQServer({ snapshot: join(folder, "queue") });
    await server.start(HOST, 0);
    expect(readdirSync(folder).sort()).toEqual([...mine, name(alive.pid), name(dead.pid + 4_000_000)].sort());
    await server.stop();
  });

  test("of a process that was killed while it wrote are gone with the next start", async () => {
    const folder = makeFolder();
    const snapshot = join(folder, "queue");
    const first = await startServer({ snapshot }, folder);
    await store(first.port, "large", 100, 1_000_000);
    process.kill(first.pid, "SIGTERM");
    const unfinished = join(folder, `queue.writing-${first.pid}`);
    while (!existsSync(unfinished) && first.child.exitCode === null) await Bun.sleep(0);
    process.kill(first.pid, "SIGKILL");
    await first.ended();
    // A machine that wrote faster than we looked has left none.
    writeFileSync(unfinished, "half of it");
    await startServer({ snapshot }, folder);
    expect(readdirSync(folder).filter((each) => each.includes("writing"))).toEqual([]);
  }, 30_000);
});

describe("a token file, certificate or key", () => {
  const wrong: [what: string, why: string, make: (path: string) => void][] = [
    ["a FIFO", "is a FIFO", (path) => makeFifo(path)],
    ["a device", "is a device", (path) => symlinkSync("/dev/zero", path)],
    ["a folder", "is a folder", (path) => mkdirSync(path)],
    ["nothing", "there is no file", () => {}],
    ["an empty file", "", (path) => writeFileSync(path, " \n")],
    ["2 MiB", "the limit is", (path) => writeFileSync(path, "x".repeat(2 * 1024 * 1024))],
  ];
  for (const [what, why, make] of wrong) {
    test(`that is ${what}: refused at once, by the option's name`, async () => {
      const path = join(makeFolder(), "secret");
      const good = join(makeFolder(), "good");
      writeFileSync(good, "no key at all");
      make(path);
      const all: [string, ServerOptions][] = [
        ["token-file", { tokenFile: path }],
        ["tls-cert", { tlsCert: path, tlsKey: good }],
        ["tls-key", { tlsCert: good, tlsKey: path }],
      ];
      for (const [option, options] of all) {
        const { code, message } = await refusedWith(options);
        expect({ option, code }).toEqual({ option, code: "INVALID_ARGUMENT" });
        expect(message).toStartWith(`${option}: `);
        expect(message).toContain(path);
        expect(message).toContain(why);
      }
    });
  }

  test("a process that is told to use a FIFO as its token file ends at once", async () => {
    const fifo = makeFifo(join(makeFolder(), "fifo"));
    const { code, log } = await new ServerProcess({ tokenFile: fifo }, makeFolder()).ended();
    expect(code).toBe(1);
    expect(log).toContain("is a FIFO");
  }, 30_000);
});
