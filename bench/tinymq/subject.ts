/** tinyMQ as a subject: the server process that `tmqserver start` leaves behind, and the shipped client. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Handover } from "../../cli/daemon/serve.ts";
import { shipped } from "../harness/bundles.ts";
import { profileFlags } from "../harness/profile.ts";
import { freePort, HOST, ServerProcess, temporaryFolder } from "../harness/server-process.ts";
import type { RunningServer, Runtime, Subject } from "../harness/subject.ts";
import { TinymqClient } from "./client.ts";

/** Enough for ten million queued messages of 128 bytes. */
const MAX_MEMORY = "8GiB";

export const tinymq: Subject = {
  key: "tinymq",
  name: "tinyMQ",
  role: "tinymq",
  promise: "acknowledged: stored; consumed: acknowledged by the consumer; exactly once while nobody dies",
  client: "tmqserver, codec `bytes`, otherwise its defaults",
  abilities: {
    queue: true,
    shared: true,
    fanOut: true,
    lossy: false,
    produceStyles: ["send", "many"],
    consumeStyles: ["stream", "poll"],
  },
  runtimes: ["bun", "node"],
  find: async () => ({ version: ownVersion() }),
  start: startTinymq,
  connect: async (target) => await TinymqClient.load(target),
};

/** The client library's module for a runtime, as it is shipped. */
export function clientModule(runtime: Runtime): string {
  return shipped(runtime === "bun" ? "index.js" : "index.node.js");
}

export async function startTinymq(): Promise<RunningServer> {
  const port = await freePort();
  const folder = temporaryFolder();
  const server = new ServerProcess(
    [process.execPath, "--no-env-file", ...profileFlags(), shipped("cli/daemon/daemon.js")],
    {
      cwd: folder.path,
      stdin: handover(folder.path, port),
    },
  );
  await server.listens(port);
  return {
    port,
    pids: [server.pid],
    command: `tmqserver start --port PORT --max-memory ${MAX_MEMORY}`,
    async stop() {
      await server.stop();
      folder.remove();
    },
  };
}

/** What `start` writes to the server process's standard input. */
export function handover(folder: string, port: number): string {
  const content: Handover = {
    folder: join(folder, "state"),
    version: ownVersion(),
    options: { host: HOST, port, maxMemory: MAX_MEMORY },
    logLevel: "error",
    logFormat: "text",
    log: "",
  };
  return JSON.stringify(content);
}

export function ownVersion(): string {
  const manifest: { version: string } = JSON.parse(
    readFileSync(join(import.meta.dir, "..", "..", "package.json"), "utf8"),
  );
  return manifest.version;
}
