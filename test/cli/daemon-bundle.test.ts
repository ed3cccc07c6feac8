/** The daemon as it is shipped: one file that holds all it needs, and that an upgrade may take away. */
import { beforeAll, describe, expect, test } from "bun:test";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  truncateSync,
} from "node:fs";
import { join } from "node:path";
import { buildPrograms } from "../../cli/build/programs.ts";
import { Consumer, Producer } from "../../src/index.ts";
import { makeState, willEnd } from "./support.ts";

const HOST = "127.0.0.1";

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
    stdio: [new TextEncoder().encode(JSON.stringify(handover)), "ignore", "ignore", "pipe"],
  });
  willEnd(child);
  const report = JSON.parse(await Bun.file(child.stdio[3] as number).text());
  return { child, report };
}

/** The source files that are in a bundled file. */
function sourcesOf(file: string): string[] {
  const names = readFileSync(file, "utf8").matchAll(/^\/\/ (\S+\.\w+)$/gm);
  return [...new Set([...names].map(([, name]) => name!))];
}

describe("the bundle", () => {
  test("is one file with all of the server and nothing of the command line", () => {
    expect(readdirSync(join(programs, "daemon"))).toEqual(["daemon.js"]);
    expect(readFileSync(daemon, "utf8")).not.toMatch(/\b(?:from|import)\s*\(?\s*["'`]\./);
    const sources = sourcesOf(daemon);
    expect(sources).toContain("src/server/core.ts");
    expect(sources).toContain("src/server/snapshot-file.ts");
    const commandLine = /node_modules\/citty|cli\/(commands|command|main|help|target)|src\/client/;
    expect(sources.filter((source) => commandLine.test(source))).toEqual([]);
  });

  test("of the command line has every source file once: an error's class is the same in all of them", () => {
    const files = readdirSync(programs, { recursive: true, encoding: "utf8" })
      .map((file) => join(programs, file))
      .filter((file) => file.endsWith(".js") && file !== daemon);
    const sources = files.flatMap(sourcesOf);
    expect(sources).toContain("src/errors.ts");
    expect(sources.filter((source, index) => sources.indexOf(source) !== index)).toEqual([]);
  });
});

describe("the daemon", () => {
  test("serves its first client though its program's folder is gone by then", async () => {
    const { child, report } = await startDaemon("");
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
    // Cut in the middle.
    truncateSync(snapshot, Math.floor(statSync(snapshot).size / 2));
    const second = await startDaemon(snapshot);
    expect(second.report).toMatchObject({ failed: { code: "DATA_LOSS" } });
    expect(await second.child.exited).toBe(1);
  });
});
