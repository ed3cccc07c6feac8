/** Snapshots that two servers are told to use: one has it, until it ends in whatever way. */
import { afterAll, expect, test } from "bun:test";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { Consumer, Producer } from "../../src/index.ts";
import { TinyMQServer } from "../../src/server/index.ts";
import { endServers, makeFolder, ServerProcess, startServer } from "../proof/server-process.ts";

afterAll(endServers);

const HOST = "127.0.0.1";

async function serve(snapshot: string): Promise<TinyMQServer> {
  const server = new TinyMQServer({ snapshot });
  await server.start(HOST, 0);
  return server;
}

const inUse = (file: string) => ({
  code: "FAILED_PRECONDITION",
  message: `snapshot: ${file} is in use by another server: stop that one, or choose another file`,
});

test("it is the first one's, until that one ends", async () => {
  const file = join(makeFolder(), "queue");
  const first = await startServer({ snapshot: file });
  await expect(serve(file)).rejects.toMatchObject(inUse(file));
  const producer = new Producer(HOST, first.port, "t");
  await producer.initConn();
  await producer.sendBatch([{ body: "a" }, { body: "b" }]);
  await producer.close();
  await first.stop();
  expect(readdirSync(dirname(file)).sort()).toEqual(["queue", "queue.lock"]);
  await using second = await serve(file);
  const consumer = new Consumer<string>(HOST, second.port, "t");
  await consumer.initConn();
  expect([await consumer.poll(), await consumer.poll()].map((each) => each?.[1])).toEqual(["a", "b"]);
  await consumer.close();
});

test("of one process, too; one that was refused gives up nothing", async () => {
  const file = join(makeFolder(), "queue");
  await using first = await serve(file);
  const second = new TinyMQServer({ snapshot: file });
  await expect(second.start(HOST, 0)).rejects.toMatchObject(inUse(file));
  await second.stop();
  await expect(serve(file)).rejects.toMatchObject(inUse(file));
  await first.stop();
  await using _third = await serve(file);
  await first.stop();
  await expect(serve(file)).rejects.toMatchObject(inUse(file));
});

test("it is nobody's after a crash", async () => {
  const file = join(makeFolder(), "queue");
  const first = await startServer({ snapshot: file });
  process.kill(first.pid, "SIGKILL");
  await first.ended();
  await (await serve(file)).stop();
});

test("of many that start at once one has it", async () => {
  const file = join(makeFolder(), "queue");
  const servers = Array.from({ length: 6 }, () => new ServerProcess({ snapshot: file }, makeFolder()));
  const ready = await Promise.allSettled(servers.map((server) => server.ready()));
  expect(ready.filter(({ status }) => status === "fulfilled").length).toBe(1);
}, 30_000);

test("a foreign file in the lock's place refuses the start, and is left", async () => {
  const file = join(makeFolder(), "queue");
  const text = "years of work\n".repeat(100);
  writeFileSync(`${file}.lock`, text);
  await expect(serve(file)).rejects.toMatchObject({
    code: "FAILED_PRECONDITION",
    message: expect.stringContaining(`cannot claim ${file} with ${file}.lock: file is not a database`),
  });
  expect(readFileSync(`${file}.lock`, "utf8")).toBe(text);
  const folder = join(makeFolder(), "queue");
  mkdirSync(`${folder}.lock`);
  await expect(serve(folder)).rejects.toMatchObject({
    message: expect.stringContaining("is not a file: move it elsewhere"),
  });
});

const hasNamespaces = process.platform === "linux" && Bun.spawnSync(["unshare", "-pf", "true"]).success;
if (!hasNamespaces) console.log("skipped: a server of another PID namespace (needs Linux, unshare and root)");

test.skipIf(!hasNamespaces)(
  "a server of another PID namespace, as in a container, is seen, and its end",
  async () => {
    const file = join(makeFolder(), "queue");
    const program = `
    const { claimSnapshot } = await import(process.argv[1]);
    globalThis.giveUp = await claimSnapshot(process.argv[2]);
    console.log("has it");
    setInterval(() => {}, 1_000);
  `;
    const module = join(import.meta.dir, "../../src/server/snapshot-claim.ts");
    // Killed with its child, since that one is the first process of its namespace.
    const command = ["unshare", "-pf", "--kill-child", process.execPath, "-e", program, module, file];
    const other = Bun.spawn(command, { stdout: "pipe" });
    try {
      await other.stdout.getReader().read();
      await expect(serve(file)).rejects.toMatchObject(inUse(file));
    } finally {
      other.kill("SIGKILL");
    }
    await other.exited;
    for (let tries = 0; ; tries++) {
      try {
        await (await serve(file)).stop();
        break;
      } catch (error) {
        // The kernel ends the child a moment later.
        if (tries === 100) throw error;
        await Bun.sleep(20);
      }
    }
  },
);
