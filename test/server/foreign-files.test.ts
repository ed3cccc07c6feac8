/** Files that options name and that are not what they should be: refused at once, and left as they are. */
import { afterAll, describe, expect, test } from "bun:test";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
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

/** Everything below a folder, but the server's lock: names, kinds and contents. */
function contentsOf(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter(({ name }) => name !== "queue.lock")
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

/** What has a name of ours and is not ours; what the refusal says of it. */
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

describe("a snapshot that is none", () => {
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

describe("what is beside a snapshot", () => {
  /** The path of a snapshot of three messages. */
  async function threeMessages(): Promise<string> {
    const path = join(makeFolder(), "queue");
    await using server = new TinyMQServer({ snapshot: path });
    await server.start(HOST, 0);
    await store(server.port, "orders", 3);
    return path;
  }

  async function expectThreeMessages(path: string): Promise<void> {
    await using server = new TinyMQServer({ snapshot: path });
    await server.start(HOST, 0);
    expect(await stored(server.port, "orders")).toBe(3);
  }

  test("FILE.restored that is no snapshot: refused, nothing is touched, and once it is moved the start is well", async () => {
    for (const [what, why, make] of PREPARED) {
      const path = await threeMessages();
      const foreign = `${path}.restored`;
      make(foreign);
      const before = contentsOf(dirname(path));
      const { code, message } = await refusedWith({ snapshot: path });
      expect({ what, code }).toEqual({ what, code: "FAILED_PRECONDITION" });
      expect(message).toStartWith(`snapshot: ${foreign} `);
      expect(message).toContain(why);
      expect(message).toContain("move it elsewhere");
      expect(contentsOf(dirname(path))).toEqual(before);
      renameSync(foreign, `${path}-moved`);
      await expectThreeMessages(path);
    }
  });

  test("an older FILE.restored of ours is replaced", async () => {
    const path = await threeMessages();
    writeFileSync(`${path}.restored`, "tinymq-1 and more");
    const snapshot = readFileSync(path);
    await expectThreeMessages(path);
    expect(readFileSync(`${path}.restored`).equals(snapshot)).toBe(true);
  });

  test("FILE.damaged, of ours or not, is never written over: the next ones get a number, and the eleventh is refused", async () => {
    const path = join(makeFolder(), "queue");
    mkdirSync(`${path}.damaged`);
    writeFileSync(join(`${path}.damaged`, "thesis"), "years of work");
    writeFileSync(`${path}.damaged.1`, "years of work");
    symlinkSync("nowhere", `${path}.damaged.2`);
    const damaged = (round: number) => `tinymq-1 and then nothing that is a snapshot, of round ${round}`;
    for (let round = 3; round <= 9; round++) {
      writeFileSync(path, damaged(round));
      const { code, message } = await refusedWith({ snapshot: path });
      expect(code).toBe("DATA_LOSS");
      expect(message).toContain(`${path}.damaged.${round}`);
    }
    for (let round = 3; round <= 9; round++)
      expect(readFileSync(`${path}.damaged.${round}`, "utf8")).toBe(damaged(round));
    expect(readFileSync(join(`${path}.damaged`, "thesis"), "utf8")).toBe("years of work");
    expect(readFileSync(`${path}.damaged.1`, "utf8")).toBe("years of work");
    expect(readlinkSync(`${path}.damaged.2`)).toBe("nowhere");

    writeFileSync(path, damaged(10));
    const { code, message } = await refusedWith({ snapshot: path });
    expect(code).toBe("FAILED_PRECONDITION");
    expect(message).toContain(`${path}.damaged and ${path}.damaged.1 to ${path}.damaged.9`);
    expect(message).toContain("move them elsewhere");
    expect(readFileSync(path, "utf8")).toBe(damaged(10));
  });

  test("FILE.written-PID is never written over: the messages get a number", async () => {
    const path = join(makeFolder(), "queue");
    const written = `${path}.written-${process.pid}`;
    writeFileSync(written, "years of work");
    writeFileSync(`${written}.1`, "tinymq-1 and messages that nobody restored");
    const server = new TinyMQServer({ snapshot: path });
    await server.start(HOST, 0);
    await store(server.port, "orders", 3);
    writeFileSync(path, "years of work, too");
    const error = await server.stop().catch((thrown) => thrown);
    expect(error.message).toContain(`The messages are in ${written}.2`);
    expect(readFileSync(written, "utf8")).toBe("years of work");
    expect(readFileSync(`${written}.1`, "utf8")).toBe("tinymq-1 and messages that nobody restored");
    expect(readFileSync(path, "utf8")).toBe("years of work, too");
    await expectThreeMessages(`${written}.2`);
  });

  test("FILE.written-PID with all numbers: refused at the start, not at the stop", async () => {
    const path = join(makeFolder(), "queue");
    const written = `${path}.written-${process.pid}`;
    writeFileSync(written, "years of work");
    for (let number = 1; number <= 9; number++) writeFileSync(`${written}.${number}`, "years of work");
    const before = contentsOf(dirname(path));
    const { code, message } = await refusedWith({ snapshot: path });
    expect(code).toBe("FAILED_PRECONDITION");
    expect(message).toContain(`${written} and ${written}.1 to ${written}.9`);
    expect(contentsOf(dirname(path))).toEqual(before);
  });

  test("FILE.writing-PID that is foreign is left, also with our PID, and the stop still writes", async () => {
    const path = join(makeFolder(), "queue");
    const writing = `${path}.writing-${process.pid}`;
    mkdirSync(writing);
    writeFileSync(join(writing, "thesis"), "years of work");
    writeFileSync(`${writing}.1`, "years of work");
    const server = new TinyMQServer({ snapshot: path });
    await server.start(HOST, 0);
    await store(server.port, "orders", 3);
    // One more, which comes while the server runs.
    writeFileSync(`${writing}.2`, "years of work");
    const notOurs = () => contentsOf(dirname(path)).filter((each) => !each.startsWith(`${path} `));
    const before = notOurs();
    await server.stop();
    expect(notOurs()).toEqual(before);
    await expectThreeMessages(path);
  });
});

describe("snapshots that were not finished", () => {
  test("of dead processes are removed at the start; nothing else is", async () => {
    const folder = makeFolder();
    const dead = Bun.spawn(["true"]);
    await dead.exited;
    const alive = await startServer();
    // Below, PIDs of five millions and more are of dead processes: Linux and macOS give none so high.
    const begun = ["", "t", "tinymq-", "tinymq-1", "tinymq-1 and half of it"];
    const foreign = ["x", "tinymq-2", "tinymQ", "years of work"];
    const name = (pid: number) => `queue.writing-${pid}`;
    const write = (names: string[], text: string) => {
      for (const each of names) writeFileSync(join(folder, each), text);
      return names;
    };
    const left = [
      ...write(["queue.writing-", "queue.writing-x1", "queue.writing-0", "other.writing-1"], "tinymq-1"),
      ...write(
        ["queue.writing", `${name(dead.pid)}.10`, name(alive.pid), `${name(alive.pid)}.1`],
        "tinymq-1",
      ),
      ...foreign.flatMap((text, index) => write([name(6_000_000 + index)], text)),
      ...write([`${name(process.pid)}.1`], "years of work"),
    ];
    write([name(dead.pid), `${name(dead.pid)}.1`, name(process.pid)], "tinymq-1 and half of it");
    for (const [index, text] of begun.entries()) write([name(5_000_000 + index)], text);
    // Neither a folder of that name nor a link is a snapshot that a server wrote.
    mkdirSync(join(folder, name(7_000_000)));
    symlinkSync("queue.writing-x1", join(folder, name(7_000_001)));
    left.push(name(7_000_000), name(7_000_001));
    const server = new TinyMQServer({ snapshot: join(folder, "queue") });
    await server.start(HOST, 0);
    expect(readdirSync(folder).sort()).toEqual([...left, "queue.lock"].sort());
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
    writeFileSync(unfinished, "tinymq-1 and half of it");
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
