/** tinyMQ as a subject: the server process that `tmqserver start` leaves behind, and the shipped client. */
import { existsSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import type { Handover } from "../../cli/daemon/serve.ts";
import { profileFlags } from "../harness/profile.ts";
import { freePort, HOST, ServerProcess, temporaryFolder } from "../harness/server-process.ts";
import type { RunningServer, Runtime, Subject } from "../harness/subject.ts";
import { TinymqClient } from "./client.ts";

/** Enough for ten million queued messages of 128 bytes. */
const MAX_MEMORY = "8GiB";
const KEY = "tinymq";
/** Not a constant: in Node, where the client processes load this file too, there is no such folder. */
const root = (): string => join(import.meta.dir, "..", "..");

/** This build. */
export const tinymq = build(KEY, "tinyMQ", root);

/**
 * Another build, to be measured against this one. `folder`: a checkout with its `dist/`, that `dist/` itself, or
 * an unpacked package with its dependencies. Throws if there is no build.
 */
export function otherBuild(folder: string): Subject {
  const path = resolve(folder);
  const other = existsSync(join(path, "dist")) ? path : join(path, "..");
  if (!existsSync(join(other, "dist")))
    throw new Error(`--against: there is no build in ${path}: run make build there`);
  return { ...build("tinymq-other", `tinyMQ of ${folder}`, () => other), sameClientAs: KEY };
}

function build(key: string, name: string, folder: () => string): Subject {
  return {
    key,
    name,
    role: "tinymq",
    promise: "acknowledged: stored; consumed: acknowledged by the consumer; exactly once while nobody dies",
    client: "tmqserver, codec `bytes`, otherwise its defaults",
    abilities: {
      queue: true,
      shared: true,
      fanOut: true,
      lossy: false,
      produceStyles: ["send", "groups", "many"],
      consumeStyles: ["stream", "poll"],
    },
    runtimes: ["bun", "node"],
    find: async () => ({ version: versionIn(folder()) }),
    start: () => start(folder()),
    clientModule: (runtime: Runtime) => shipped(folder(), runtime === "bun" ? "index.js" : "index.node.js"),
    connect: (target) => TinymqClient.load(target),
  };
}

async function start(folder: string): Promise<RunningServer> {
  const port = await freePort();
  const work = temporaryFolder();
  const handover: Handover = {
    folder: join(work.path, "state"),
    version: versionIn(folder),
    options: { host: HOST, port, maxMemory: MAX_MEMORY },
    logLevel: "error",
    logFormat: "text",
    log: "",
  };
  // As `start` does it.
  const server = new ServerProcess(
    [process.execPath, "--no-env-file", ...profileFlags(), shippedDaemon(folder)],
    { cwd: work.path, stdin: JSON.stringify(handover) },
  );
  await server.listens(port);
  return {
    port,
    pids: [server.pid],
    command: `tmqserver start --port PORT --max-memory ${MAX_MEMORY}`,
    async stop() {
      await server.stop();
      work.remove();
    },
  };
}

/** A file of the package as it is shipped. Throws if the package is not built. */
function shipped(folder: string, file: string): string {
  const path = join(folder, "dist", file);
  if (!existsSync(path)) throw new Error(`${path} is missing: run make build there`);
  return path;
}

/** The server's program; up to version 1.0.0 it lay beside the library. */
function shippedDaemon(folder: string): string {
  const older = join(folder, "dist", "daemon.js");
  return existsSync(older) ? older : shipped(folder, "cli/daemon/daemon.js");
}

function versionIn(folder: string): string {
  const manifest: { version: string } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
  return manifest.version;
}
