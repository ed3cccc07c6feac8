/** Snapshots that two servers are told to use: one has it, and claims of servers that nobody can see are kept. */
import { afterAll, describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
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

const claimsOf = (file: string) =>
  readdirSync(dirname(file))
    .filter((name) => /^queue\.server-\d+-\w+$/.test(name))
    .map((name) => join(dirname(file), name));

/** A file as a server writes it while it runs, without the server. Its lines: what it is, start time, host, boot, namespace. */
async function claimLines(): Promise<string[]> {
  const file = join(makeFolder(), "queue");
  await using _server = await serve(file);
  return readFileSync(claimsOf(file)[0]!, "utf8").split("\n");
}

const refused = (message: string) => ({ code: "FAILED_PRECONDITION", message });
const inUse = (file: string, who: string) =>
  refused(`snapshot: ${file} is in use by ${who}: stop that one, or choose another file`);
const cannotTell = (file: string, host: string, claim: string) =>
  refused(
    `snapshot: cannot tell whether ${file} is in use: a server of another machine or container (${host}) has ${claim}; if that server has ended, remove that file, else choose another snapshot`,
  );

describe("of one machine", () => {
  test("it is the first one's, until that one ends", async () => {
    const file = join(makeFolder(), "queue");
    const first = await startServer({ snapshot: file });
    await expect(serve(file)).rejects.toMatchObject(inUse(file, `the server with pid ${first.pid}`));
    expect(claimsOf(file).map((claim) => basename(claim).split("-")[1])).toEqual([String(first.pid)]);
    const producer = new Producer(HOST, first.port, "t");
    await producer.initConn();
    await producer.sendBatch([{ body: "a" }, { body: "b" }]);
    await producer.close();
    await first.stop();
    expect(readdirSync(dirname(file))).toEqual(["queue"]);
    await using second = await serve(file);
    const consumer = new Consumer<string>(HOST, second.port, "t");
    await consumer.initConn();
    expect([await consumer.poll(), await consumer.poll()].map((each) => each?.[1])).toEqual(["a", "b"]);
    await consumer.close();
  });

  test("of one process, too", async () => {
    const file = join(makeFolder(), "queue");
    await using first = await serve(file);
    const second = new TinyMQServer({ snapshot: file });
    await expect(second.start(HOST, 0)).rejects.toMatchObject(inUse(file, "another server of this process"));
    await second.stop();
    expect(claimsOf(file).length).toBe(1);
    await first.stop();
    await using third = await serve(file);
    await second.stop();
    await first.stop();
    expect(claimsOf(file).length).toBe(1);
    await third.stop();
    expect(claimsOf(file)).toEqual([]);
  });

  test("it is nobody's after a crash, whoever has the PID now; what is not ours is left", async () => {
    const file = join(makeFolder(), "queue");
    const first = await startServer({ snapshot: file });
    process.kill(first.pid, "SIGKILL");
    await first.ended();
    const left = readFileSync(claimsOf(file)[0]!, "utf8");
    writeFileSync(`${file}.server-${process.pid}-a`, left);
    writeFileSync(`${file}.server-${process.ppid}-a`, left);
    writeFileSync(`${file}.server-1-a`, "years of work");
    mkdirSync(`${file}.server-2`);
    await using second = await serve(file);
    const foreign = ["queue.server-1-a", "queue.server-2"];
    const claims = claimsOf(file).map((claim) => basename(claim));
    expect(readdirSync(dirname(file)).sort()).toEqual([...new Set([...foreign, ...claims])].sort());
    expect(claims.length).toBe(2);
    await second.stop();
    expect(readdirSync(dirname(file)).sort()).toEqual(["queue", ...foreign]);
  });

  test("of many that start at once one has it at most, and one gets it when another tries again", async () => {
    const file = join(makeFolder(), "queue");
    const servers = Array.from({ length: 6 }, () => new ServerProcess({ snapshot: file }, makeFolder()));
    const ready = await Promise.allSettled(servers.map((server) => server.ready()));
    const winners = ready.filter(({ status }) => status === "fulfilled").length;
    expect(winners).toBeLessThanOrEqual(1);
    const [again] = await Promise.allSettled([startServer({ snapshot: file })]);
    expect(winners + Number(again.status === "fulfilled")).toBe(1);
  }, 30_000);

  test("what may be a claim and cannot be read refuses the start, and is left", async () => {
    const file = join(makeFolder(), "queue");
    mkdirSync(`${file}.server-1-a`);
    await expect(serve(file)).rejects.toMatchObject({
      code: "FAILED_PRECONDITION",
      message: expect.stringContaining(
        `${file}.server-1-a is a folder, not a file: it may be that of a server`,
      ),
    });
    expect(readdirSync(dirname(file))).toEqual(["queue.server-1-a"]);
  });
});

describe.if(process.platform === "linux")("claimed elsewhere", () => {
  const elsewhere = "pid:[4026539999]";
  const otherBoot = "00000000-0000-0000-0000-000000000000";
  // PID 1, as in containers, and our own.
  test.each([1, process.pid])(
    "with PID %d: nobody can tell, the start is refused, and the file is left",
    async (pid) => {
      const [begin, startTime, host, boot, namespace] = await claimLines();
      const others: [string, string[]][] = [
        ["another container of this machine", [begin!, startTime!, host!, boot!, elsewhere]],
        ["another container with a name of its own", [begin!, startTime!, "other", boot!, elsewhere]],
        ["another machine", [begin!, startTime!, "other", otherBoot, namespace!]],
        ["whoever did not write it to its end", [begin!, startTime!]],
      ];
      for (const [, lines] of others) {
        const file = join(makeFolder(), "queue");
        const claim = `${file}.server-${pid}-a`;
        writeFileSync(claim, lines.join("\n"));
        await expect(serve(file)).rejects.toMatchObject(cannotTell(file, lines[2] ?? "unknown", claim));
        expect(readdirSync(dirname(file))).toEqual([basename(claim)]);
        rmSync(claim);
        await (await serve(file)).stop();
      }
    },
  );

  test("a claim that comes while a server runs is still there when it has ended", async () => {
    const file = join(makeFolder(), "queue");
    const lines = await claimLines();
    const claim = `${file}.server-${process.pid}-a`;
    await using server = await serve(file);
    writeFileSync(claim, lines.with(4, elsewhere).join("\n"));
    await server.stop();
    expect(existsSync(claim)).toBe(true);
  });

  test("before this machine was started again: it has ended, and the start is well", async () => {
    const file = join(makeFolder(), "queue");
    const lines = await claimLines();
    writeFileSync(`${file}.server-${process.pid}-a`, lines.with(3, otherBoot).join("\n"));
    writeFileSync(`${file}.server-1-a`, lines.with(3, otherBoot).with(4, elsewhere).join("\n"));
    await using _server = await serve(file);
    expect(claimsOf(file).length).toBe(1);
    expect(existsSync(`${file}.server-1-a`)).toBe(false);
  });
});
