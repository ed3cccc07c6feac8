/** The daemon as it is shipped: what a start parses, and that the rest is there when it is needed. */
import { beforeAll, describe, expect, test } from "bun:test";
import { existsSync, renameSync } from "node:fs";
import { join } from "node:path";
import { buildDaemon, type DaemonInputs } from "../../cli/build-daemon.ts";
import { Consumer, Producer } from "../../src/index.ts";
import { makeState, willEnd } from "./support.ts";

const HOST = "127.0.0.1";
/** What only a server with clients needs; a clock everybody needs. */
const CORE =
  /node_modules\/|src\/(gen|session|engine)\/|src\/broker\/(?!clock\.ts$)|server\/(core|admin|snapshot)/;

const state = makeState();
const dist = join(state.folder, "dist");
let inputs: DaemonInputs;

beforeAll(async () => {
  inputs = await buildDaemon(dist);
});

/** Starts the bundled daemon as `start` does; resolves with its report. */
async function startDaemon(
  snapshot: string,
): Promise<{ child: Bun.Subprocess; report: { ready?: { port: number } } }> {
  const handover = {
    folder: state.home,
    version: "test",
    options: { host: HOST, port: 0, snapshot },
    logLevel: "info",
    logFormat: "text",
    log: "",
  };
  const child = Bun.spawn([process.execPath, "--no-env-file", join(dist, "daemon.js")], {
    stdio: [new TextEncoder().encode(JSON.stringify(handover)), "ignore", "ignore", "pipe"],
  });
  willEnd(child);
  const report = JSON.parse(await Bun.file(child.stdio[3] as number).text());
  return { child, report };
}

describe("the bundle", () => {
  test("has the core only as packed text: no start parses it", () => {
    expect(inputs.eager).toContain("cli/daemon.ts");
    expect(inputs.eager.filter((path) => CORE.test(path))).toEqual([]);
    expect(inputs.later).toContain("src/server/core.ts");
    expect(inputs.later).toContain("src/server/snapshot-file.ts");
  });

  test("has the errors once: what is packed throws the same classes", () => {
    expect(inputs.later).not.toContain("src/errors.ts");
  });

  test("has bytecode beside it", () => {
    expect(existsSync(join(dist, "daemon.js.jsc"))).toBe(true);
  });
});

describe("the daemon", () => {
  test("serves its first client though its program's folder is gone by then", async () => {
    const { child, report } = await startDaemon("");
    renameSync(dist, `${dist}-replaced`);
    const producer = new Producer(HOST, report.ready!.port, "greetings");
    await producer.initConn();
    await producer.send("Hi", 1);
    const consumer = new Consumer(HOST, report.ready!.port, "greetings");
    await consumer.initConn();
    expect(await consumer.poll()).toEqual([1, "Hi"]);
    await Promise.all([producer.close(), consumer.close()]);
    child.kill("SIGTERM");
    expect(await child.exited).toBe(0);
    renameSync(`${dist}-replaced`, dist);
  });

  test("writes a snapshot, and tells by its code that one is damaged", async () => {
    const snapshot = join(state.folder, "queue.snapshot");
    const { child } = await startDaemon(snapshot);
    child.kill("SIGTERM");
    expect(await child.exited).toBe(0);
    expect(existsSync(snapshot)).toBe(true);
    await Bun.write(snapshot, "not a snapshot");
    const second = await startDaemon(snapshot);
    expect(second.report).toMatchObject({ failed: { code: "DATA_LOSS" } });
    expect(await second.child.exited).toBe(1);
  });
});
