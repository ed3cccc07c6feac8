/** What the tests of the command line share: state folders, running the program, and waiting. */
import { afterAll } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { callName } from "../../cli/call-name.ts";
import { identifyProcess } from "../../cli/daemon/process-identity.ts";
import { isLive, readRecord, type ServerRecord } from "../../cli/daemon/server-record.ts";
import { PID_FILE } from "../../cli/daemon/state-folder.ts";

export const CLI = resolve(import.meta.dir, "../../cli");

/** How the program that these tests run is called again. */
export const NAME = callName(join(CLI, "main.ts"), process.env, join(tmpdir(), "elsewhere"));

/** What `status` and `stop` say where nothing runs; the developer may have a server on the default port. */
export const NOT_RUNNING = /^error: (?:tinyMQ is not running|no server was started from the state folder)/;

/** What a run of the program left. */
export interface Ran {
  code: number;
  stdout: string;
  stderr: string;
}

export interface RunOptions {
  stdin?: string | Uint8Array<ArrayBuffer>;
  env?: Record<string, string | undefined>;
  cwd?: string;
  /** A descriptor for standard output, instead of a pipe that Bun reads ahead. */
  stdout?: number;
}

/** A state folder of its own, below a folder that is removed in the end, when its server is gone. */
export interface State {
  /** For other files of the test. */
  folder: string;
  home: string;
  /** Runs the program to its end. */
  run(words: readonly string[], options?: RunOptions): Promise<Ran>;
  /** Starts the program. */
  spawn(words: readonly string[], options?: RunOptions): Program;
  /** The PID file's content; null if there is none. */
  record(): ServerRecord | null;
}

export type Program = Bun.Subprocess<Blob | "ignore", "pipe", "pipe">;

const children: { pid: number; startTime: string }[] = [];

/** A new state folder. Its server, if it has one, is ended after the tests around the call. */
export function makeState(): State {
  const folder = mkdtempSync(join(tmpdir(), "tinymq-cli-"));
  const home = join(folder, "state");
  const state: State = {
    folder,
    home,
    spawn(words, { stdin, env, cwd, stdout } = {}) {
      const program = Bun.spawn([process.execPath, join(CLI, "main.ts"), ...words], {
        stdin: stdin === undefined ? "ignore" : new Blob([stdin]),
        stdout: (stdout as "pipe" | undefined) ?? "pipe",
        stderr: "pipe",
        cwd: cwd ?? folder,
        env: { ...cleanEnvironment(), TINYMQ_HOME: home, ...env },
      });
      return willEnd(program);
    },
    async run(words, options) {
      return finish(state.spawn(words, options));
    },
    record: () => readRecord(join(home, PID_FILE)),
  };
  afterAll(() => removeState(state));
  return state;
}

/** The environment without what would change the program's answers. */
export function cleanEnvironment(): Record<string, string | undefined> {
  const kept = Object.entries(process.env).filter(
    ([name]) => !/^(TINYMQ_|XDG_|NO_COLOR|FORCE_COLOR)/.test(name),
  );
  return Object.fromEntries(kept);
}

/** The end of a program, with all that it wrote. */
export async function finish(program: Program): Promise<Ran> {
  const [stdout, stderr, code] = await Promise.all([
    new Response(program.stdout).text(),
    new Response(program.stderr).text(),
    program.exited,
  ]);
  return { code, stdout, stderr };
}

/** Has a process of these tests killed in the end, if it is still there. */
export function willEnd<Child extends { pid: number }>(child: Child): Child {
  const startTime = identifyProcess(child.pid);
  if (startTime !== null) children.push({ pid: child.pid, startTime });
  return child;
}

/** Resolves with the first value of `look` that is not null, false or undefined. Throws after 10 s. */
export async function until<Value>(
  what: string,
  look: () => Value | Promise<Value>,
): Promise<NonNullable<Value>> {
  const deadline = performance.now() + 10_000;
  while (performance.now() < deadline) {
    const value = await look();
    if (value) return value;
    await Bun.sleep(2);
  }
  throw new Error(`waited in vain for ${what}`);
}

/** Kills what `willEnd` was told of and is still there. */
export function endChildren(): void {
  for (const { pid, startTime } of children.splice(0)) {
    if (identifyProcess(pid) === startTime) process.kill(pid, "SIGKILL");
  }
}

async function removeState(state: State): Promise<void> {
  endChildren();
  const record = state.record();
  if (record !== null && isLive(record)) {
    process.kill(record.pid, "SIGKILL");
    await until("the server's end", () => !isLive(record));
  }
  rmSync(state.folder, { recursive: true, force: true });
}
