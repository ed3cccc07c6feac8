/** A redis-server of our own that keeps nothing on disk, and how to connect to it. */
import type { Redis } from "ioredis";
import { freePort, HOST, ServerProcess, temporaryFolder } from "../harness/server-process.ts";
import type { RunningServer, Target } from "../harness/subject.ts";
import { debianProgram, type Found } from "./debian.ts";

/** No limit for slow subscribers: the bench keeps them from falling behind. */
const OPTIONS = ["--save", "", "--appendonly", "no", "--client-output-buffer-limit", "pubsub 0 0 0"];

export function findRedis(): Promise<Found> {
  return debianProgram(["redis-server", "--version"], "redis-server");
}

export async function startRedis(): Promise<RunningServer> {
  const port = await freePort();
  const folder = temporaryFolder();
  const server = new ServerProcess(["redis-server", "--bind", HOST, "--port", String(port), ...OPTIONS], {
    cwd: folder.path,
  });
  await server.listens(port);
  const shown = OPTIONS.map((option) => (option === "" || option.includes(" ") ? `"${option}"` : option));
  return {
    port,
    pids: [server.pid],
    command: `redis-server --bind ${HOST} --port PORT ${shown.join(" ")}`,
    async stop() {
      await server.stop();
      folder.remove();
    },
  };
}

/** A connection that pipelines the commands of one turn by itself. */
export async function openRedis({ host, port }: Target): Promise<Redis> {
  const { Redis } = await import("ioredis");
  const redis = new Redis({
    host,
    port,
    enableAutoPipelining: true,
    lazyConnect: true,
    maxRetriesPerRequest: 0,
  });
  await redis.connect();
  return redis;
}

/** The answers of a pipeline. Throws the first error among them. */
export function requireAnswers(results: [error: Error | null, answer: unknown][] | null): unknown[] {
  return (results ?? []).map(([error, answer]) => {
    if (error !== null) throw error;
    return answer;
  });
}

/** The same bytes as a Buffer, which the client sends as they are. */
export function asBuffer({ buffer, byteOffset, byteLength }: Uint8Array): Buffer {
  return Buffer.from(buffer, byteOffset, byteLength);
}
