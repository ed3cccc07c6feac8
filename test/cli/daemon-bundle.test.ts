/** The daemon as it is shipped: what a start loads, and that the rest is there when it is needed. */
import { beforeAll, describe, expect, test } from "bun:test";
import { appendFileSync, existsSync, mkdirSync, readdirSync, readFileSync, renameSync } from "node:fs";
import { dirname, join } from "node:path";
import { buildPrograms } from "../../cli/build/programs.ts";
import { Consumer, Producer } from "../../src/index.ts";
import { makeState, willEnd } from "./support.ts";

const HOST = "127.0.0.1";
/** What a server needs only after it listens. */
const CORE = /node_modules\/|src\/(gen|session|log|broker)\/|server\/(core|admin|snapshot)/;
/** What the command line needs and a server does not. */
const COMMAND_LINE = /node_modules\/citty|cli\/(commands|command|main|help|target)/;
const CORE_IS_LOADED = "the core is loaded";

const state = makeState();
const dist = join(state.folder, "dist");
const programs = join(dist, "cli");
const daemon = join(programs, "daemon/daemon.js");

beforeAll(async () => {
  mkdirSync(dist);
  await buildPrograms(dist);
});

/** Starts the bundled daemon as `start` does; resolves with its report. */
async function startDaemon(snapshot: string) {
  const handover = {
    folder: state.home,
    version: "test",
    options: { host: HOST, port: 0, snapshot },
    logLevel: "info",
    logFormat: "text",
    log: "",
  };
  const child = Bun.spawn([process.execPath, "--no-env-file", daemon], {
    stdio: [new TextEncoder().encode(JSON.stringify(handover)), "pipe", "ignore", "pipe"],
  });
  willEnd(child);
  const report = JSON.parse(await Bun.file(child.stdio[3] as number).text());
  return { child, report };
}

/** The source files that are in a bundled file and, if `all`, in those that it imports. */
function sourcesOf(file: string, all: boolean, seen = new Set<string>()): string[] {
  if (seen.has(file)) return [];
  seen.add(file);
  const code = readFileSync(file, "utf8");
  const own = [...code.matchAll(/^\/\/ (\S+\.\w+)$/gm)].map(([, path]) => path!);
  if (!all) return own;
  const imports = [...code.matchAll(/\bfrom "(\.[^"]+)"/g)].map(([, path]) => join(dirname(file), path!));
  return [...own, ...imports.flatMap((path) => sourcesOf(path, true, seen))];
}

function chunk(name: string): string {
  return join(programs, readdirSync(programs).find((file) => file.startsWith(`${name}-`))!);
}

describe("the bundle", () => {
  test("has the core in a file of its own, which no start waits for", () => {
    const loaded = sourcesOf(daemon, true);
    expect(loaded).toContain("cli/daemon/daemon.ts");
    expect(loaded).toContain("src/server/server.ts");
    expect(loaded.filter((path) => CORE.test(path))).toEqual([]);
    expect(sourcesOf(chunk("core"), false)).toContain("src/server/core.ts");
    expect(sourcesOf(chunk("snapshot-file"), false)).toContain("src/server/snapshot-file.ts");
  });

  test("has nothing of the command line", () => {
    const loaded = [daemon, chunk("core"), chunk("snapshot-file")].flatMap((file) => sourcesOf(file, true));
    expect(loaded.filter((path) => COMMAND_LINE.test(path))).toEqual([]);
  });

  test("has every source file once: an error's class is the same everywhere", () => {
    const files = readdirSync(programs, { recursive: true, encoding: "utf8" }).filter((file) =>
      file.endsWith(".js"),
    );
    const sources = files.flatMap((file) => [...new Set(sourcesOf(join(programs, file), false))]);
    expect(sources).toContain("src/errors.ts");
    expect(sources.filter((path, index) => sources.indexOf(path) !== index)).toEqual([]);
  });
});

describe("the daemon", () => {
  test("serves its first client though its program's folder is gone by then", async () => {
    appendFileSync(chunk("core"), `\nprocess.stdout.write(${JSON.stringify(CORE_IS_LOADED)});\n`);
    const { child, report } = await startDaemon("");
    for await (const text of child.stdout.pipeThrough(new TextDecoderStream())) {
      if (text.includes(CORE_IS_LOADED)) break;
    }
    renameSync(dist, `${dist}-replaced`);
    const producer = new Producer(HOST, report.ready.port, "greetings");
    await producer.initConn();
    await producer.send("Hi", 1);
    const consumer = new Consumer(HOST, report.ready.port, "greetings");
    await consumer.initConn();
    expect(await consumer.poll()).toEqual([1, "Hi"]);
    await Promise.all([producer.close(), consumer.close()]);
    const status = `http://${HOST}:${report.ready.port}/twirp/tinymq.v1.Admin/GetStatus`;
    const headers = { "content-type": "application/json" };
    expect(await fetch(status, { method: "POST", headers, body: "{}" })).toMatchObject({ status: 200 });
    child.kill("SIGTERM");
    expect(await child.exited).toBe(0);
    renameSync(`${dist}-replaced`, dist);
  });

  test("writes a snapshot, and tells by its code that one is damaged", async () => {
    const snapshot = join(state.folder, "queue.snapshot");
    const { child } = await startDaemon(snapshot);
    renameSync(dist, `${dist}-replaced`);
    child.kill("SIGTERM");
    expect(await child.exited).toBe(0);
    renameSync(`${dist}-replaced`, dist);
    expect(existsSync(snapshot)).toBe(true);
    await Bun.write(snapshot, "not a snapshot");
    const second = await startDaemon(snapshot);
    expect(second.report).toMatchObject({ failed: { code: "DATA_LOSS" } });
    expect(await second.child.exited).toBe(1);
  });
});
