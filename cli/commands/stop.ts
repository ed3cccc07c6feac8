/** `stop`: stops the server of this state folder. */
import { existsSync, readFileSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { TinyMQError } from "../../src/errors.ts";
import { formatDuration } from "../../src/server/index.ts";
import { notRunning } from "../admin.ts";
import { command, parseValue } from "../command.ts";
import { PidFile } from "../daemon/pid-file.ts";
import { isLive, type ServerRecord } from "../daemon/server-record.ts";
import { checkStateFolder, PID_FILE, STOP_ERROR_FILE } from "../daemon/state-folder.ts";
import { PROGRAM } from "../help.ts";
import { print, talk } from "../io/talk.ts";
import { stateFolder } from "../target.ts";

const LOOK_MS = 5;
/** How long a killed process may take to end, in ms. */
const KILLED_MS = 5_000;

export const stop = command({
  meta: { name: "stop", description: "stops the server, and returns when it has ended" },
  args: {
    timeout: {
      type: "string",
      valueHint: "TIME",
      description:
        "kill the server if it has not ended by then, unless it is still writing its snapshot (10 s)",
    },
  },
  examples: [`${PROGRAM} stop`, `${PROGRAM} stop --timeout 1m`],
  async run({ args }) {
    const spec = { name: "timeout", kind: "duration", least: 0 } as const;
    const timeout = parseValue(spec, args.timeout ?? "10s") as number;
    const folder = stateFolder();
    const pidFile = new PidFile(join(folder, PID_FILE));
    const record = checkStateFolder(folder) ? pidFile.holder() : null;
    if (record === null) {
      const left = checkStateFolder(folder) && pidFile.removeStale();
      const note = left ? " (removed the PID file of a server that had ended without removing it)" : "";
      throw await notRunning("set TINYMQ_HOME to the folder that it was started with", note);
    }
    await end(record, pidFile, timeout);
    pidFile.release(record);
    const trouble = takeStopError(join(folder, STOP_ERROR_FILE));
    if (trouble !== null) {
      throw new TinyMQError(
        "DATA_LOSS",
        `tinyMQ is stopped (pid ${record.pid}), but with an error: ${trouble}`,
      );
    }
    print(`tinyMQ is stopped (pid ${record.pid}).\n`);
  },
});

/** The error with which the server stopped, which is removed; null if there was none. */
function takeStopError(path: string): string | null {
  if (!existsSync(path)) return null;
  const trouble = readFileSync(path, "utf8");
  rmSync(path);
  return trouble;
}

async function end(record: ServerRecord, pidFile: PidFile, timeout: number): Promise<void> {
  signal(record, "SIGTERM");
  let progress = progressOf(pidFile);
  let since = Date.now();
  while (isLive(record)) {
    const now = progressOf(pidFile);
    if (now !== progress) {
      progress = now;
      since = Date.now();
    }
    if (Date.now() - since > timeout) return await kill(record, timeout);
    await Bun.sleep(LOOK_MS);
  }
}

/** The time of the PID file, which the server touches while it writes its snapshot. */
function progressOf(pidFile: PidFile): number {
  return statSync(pidFile.path, { throwIfNoEntry: false })?.mtimeMs ?? 0;
}

async function kill(record: ServerRecord, timeout: number): Promise<void> {
  talk.warn(`the server did not stop within ${formatDuration(timeout)} and is killed`);
  signal(record, "SIGKILL");
  const deadline = Date.now() + KILLED_MS;
  while (isLive(record)) {
    if (Date.now() > deadline)
      throw new TinyMQError("INTERNAL", `process ${record.pid} did not end after SIGKILL`);
    await Bun.sleep(LOOK_MS);
  }
}

/** Checks right before that the number still is the server's: it may be another process's by now. */
function signal(record: ServerRecord, name: "SIGTERM" | "SIGKILL"): void {
  if (!isLive(record)) return;
  try {
    process.kill(record.pid, name);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}
