/** A real server in a process of its own: the very one that `start` leaves behind. */
import { closeSync, existsSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { readRecord } from "../../cli/daemon/server-record.ts";
import { PID_FILE } from "../../cli/daemon/state-folder.ts";
import type { GetStatusResponse } from "../../src/gen/tinymq/v1/admin.ts";
import { adminClient } from "../../src/index.ts";
import type { ServerOptions } from "../../src/server/index.ts";
import { until } from "./until.ts";

const DAEMON = resolve(import.meta.dir, "../../cli/daemon/daemon.ts");
const HOST = "127.0.0.1";

/** Processes and folders of this test file, ended and removed when it is done. */
const started: Bun.Subprocess<Blob, number, number>[] = [];
const folders: string[] = [];

/** Ends what is left. For `afterAll` of every file that starts some: a hook here would be of the first file only. */
export async function endServers(): Promise<void> {
  for (const child of started.splice(0)) {
    child.kill("SIGKILL");
    await child.exited;
  }
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
}

/** A new folder, removed in the end. */
export function makeFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "tinymq-proof-"));
  folders.push(folder);
  return folder;
}

/** A server that did not start, or ended: its exit code and what it wrote. */
export interface Ended {
  readonly code: number;
  readonly log: string;
}

export class ServerProcess {
  readonly folder: string;
  readonly child: Bun.Subprocess<Blob, number, number>;
  port = 0;

  constructor(options: ServerOptions, folder: string) {
    this.folder = folder;
    // State is this process's own; files that outlive it are named in `options`.
    const home = mkdtempSync(join(folder, "state-"));
    const log = openSync(join(home, "out"), "w");
    const report = openSync(join(home, "report"), "w");
    const handover = {
      folder: home,
      version: "test",
      options: { host: HOST, port: 0, ...options },
      logLevel: "info",
      logFormat: "text",
      log: join(home, "out"),
    };
    this.#home = home;
    this.child = Bun.spawn([process.execPath, DAEMON], {
      stdio: [new Blob([JSON.stringify(handover)]), log, log, report],
    }) as Bun.Subprocess<Blob, number, number>;
    closeSync(log);
    closeSync(report);
    started.push(this.child);
  }
  readonly #home: string;

  get pid(): number {
    return this.child.pid;
  }

  get log(): string {
    return readFileSync(join(this.#home, "out"), "utf8");
  }

  /** Its PID file's time, which a stop moves on while it writes a snapshot. */
  get pidFile(): string {
    return join(this.#home, PID_FILE);
  }

  /** Resolves when it listens. Throws what it wrote if it ends instead. */
  async ready(): Promise<this> {
    const record = await until("a server that listens", () => {
      if (this.child.exitCode !== null) throw new Error(`the server ended: ${this.log}`);
      return existsSync(this.pidFile) ? readRecord(this.pidFile) : null;
    });
    this.port = record.port;
    return this;
  }

  async ended(): Promise<Ended> {
    const code = await this.child.exited;
    return { code, log: this.log };
  }

  /** SIGTERM, and its end; with the time that took, in ms. */
  async stop(): Promise<Ended & { ms: number }> {
    const begun = performance.now();
    process.kill(this.pid, "SIGTERM");
    const ended = await this.ended();
    return { ...ended, ms: performance.now() - begun };
  }

  status(): Promise<GetStatusResponse> {
    return adminClient(HOST, this.port).getStatus({}).response;
  }

  /** Resident memory in bytes, as the system counts it. */
  get resident(): number {
    return residentOf(this.pid);
  }
}

export function residentOf(pid: number): number {
  const line = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"));
  return Number(line?.[1] ?? 0) * 1024;
}

/** Starts a server; `folder` is one of `makeFolder`'s. */
export function startServer(options: ServerOptions = {}, folder = makeFolder()): Promise<ServerProcess> {
  return new ServerProcess(options, folder).ready();
}
