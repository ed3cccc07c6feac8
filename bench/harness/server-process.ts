/** Starts and ends the servers that are measured. Only processes that were started here are ever ended. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { within } from "./client-process.ts";

export const HOST = "127.0.0.1";
const READY_TIMEOUT_MS = 60_000;
const READY_POLL_MS = 1;
const TERM_GRACE_MS = 5_000;

/** Processes and folders that are removed when the bench ends, however it ends. */
const running = new Set<ServerProcess>();
const folders = new Set<string>();
process.on("exit", () => {
  for (const one of running) one.kill();
  for (const path of folders) rmSync(path, { recursive: true, force: true });
});

/** Ends every server that still runs, where the bench is interrupted. */
export async function endServers(): Promise<void> {
  await Promise.all([...running].map((one) => one.stop()));
}

/** A free port of the loopback address. */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = createServer();
    probe.once("error", reject);
    probe.listen(0, HOST, () => {
      const address = probe.address();
      probe.close(() => resolve(typeof address === "object" && address !== null ? address.port : 0));
    });
  });
}

/** An empty folder, and how to remove it. */
export function temporaryFolder(): { path: string; remove(): void } {
  const path = mkdtempSync(join(tmpdir(), "tinymq-bench-"));
  folders.add(path);
  const remove = (): void => {
    rmSync(path, { recursive: true, force: true });
    folders.delete(path);
  };
  return { path, remove };
}

export interface ServerProcessOptions {
  env?: Record<string, string>;
  cwd?: string;
  stdin?: string;
}

/** A server in a process of its own. */
export class ServerProcess {
  readonly #child: Bun.Subprocess;

  constructor(command: readonly string[], options: ServerProcessOptions = {}) {
    const noise = process.env.TINYMQ_BENCH_DEBUG ? "inherit" : "ignore";
    this.#child = Bun.spawn([...command], {
      stdio: [
        options.stdin === undefined ? "ignore" : new TextEncoder().encode(options.stdin),
        noise,
        noise,
        // What is handed over on stdin is answered here, as `start` has it.
        options.stdin === undefined ? "ignore" : "pipe",
      ],
      env: { ...process.env, ...options.env },
      cwd: options.cwd,
    });
    running.add(this);
  }

  get pid(): number {
    return this.#child.pid;
  }

  get ended(): boolean {
    return this.#child.exitCode !== null || this.#child.signalCode !== null;
  }

  /** SIGTERM without waiting. A shell script passes it on to its child, which it could not with SIGKILL. */
  kill(): void {
    if (!this.ended) this.#child.kill("SIGTERM");
    running.delete(this);
  }

  /** SIGTERM, and SIGKILL when that is not enough. */
  async stop(): Promise<void> {
    if (!this.ended) this.#child.kill("SIGTERM");
    const timer = setTimeout(() => this.#child.kill("SIGKILL"), TERM_GRACE_MS);
    await this.#child.exited;
    clearTimeout(timer);
    running.delete(this);
  }

  /** Resolves when the port accepts connections; throws if the process ends before. */
  async listens(port: number): Promise<void> {
    const accepted = async (): Promise<void> => {
      while (!(await accepts(port))) {
        if (this.ended) throw new Error(`the server ended before it listened (${this.#child.exitCode})`);
        await Bun.sleep(READY_POLL_MS);
      }
    };
    await within(READY_TIMEOUT_MS, "a server to listen", accepted());
  }
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, HOST);
    const end = (answer: boolean) => () => {
      socket.destroy();
      resolve(answer);
    };
    socket.once("connect", end(true));
    socket.once("error", end(false));
  });
}

/** The child of a process that is a shell script, by the child's program. Throws if there is none. */
export function childOf(pid: number, program: string): number {
  for (const child of readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim().split(" ")) {
    if (readFileSync(`/proc/${child}/comm`, "utf8").trim() === program) return Number(child);
  }
  throw new Error(`process ${pid} has no child ${program}`);
}

/** The version in what a program prints; undefined if there is no such program. */
export async function versionOf(command: readonly string[]): Promise<string | undefined> {
  if (Bun.which(command[0]!) === null) return undefined;
  const child = Bun.spawn([...command], { stdout: "pipe", stderr: "pipe", stdin: "ignore" });
  const [out, error] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  return /\d+\.\d+(\.\d+)?/.exec(`${out}\n${error}`)?.[0] ?? "unknown";
}
