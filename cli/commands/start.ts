/** `start`: starts a server, in the background or in the foreground. */
import { join } from "node:path";
import manifest from "../../package.json" with { type: "json" };
import { TinyMQError } from "../../src/errors.ts";
import { tokenFileWarnings } from "../../src/server/auth/token.ts";
import { callName } from "../call-name.ts";
import { command } from "../command.ts";
import { daemonEntry, startInBackground } from "../daemon/background.ts";
import type { Handover } from "../daemon/serve.ts";
import { alreadyRunning, type ServerRecord, serverUrl } from "../daemon/server-record.ts";
import { watchSignals } from "../daemon/signals.ts";
import { LOG_FILE, makeStateFolder } from "../daemon/state-folder.ts";
import { PROGRAM } from "../help.ts";
import { table } from "../io/table.ts";
import { print, talk } from "../io/talk.ts";
import { readLogOptions, readServerOptions, serverArguments } from "../server-arguments.ts";
import { runningServer, stateFolder, targetOf } from "../target.ts";

/** If a start takes longer than this (ms), the user is told where the log is. */
const NOTICE_MS = 3_000;
/** How long a server that listens may take to answer, in ms. */
const ANSWER_MS = 15_000;

export const start = command({
  meta: { name: "start", description: "starts a server in the background, and returns when it is ready" },
  args: {
    ...serverArguments(),
    foreground: {
      type: "boolean",
      default: false,
      description: "run in the foreground, and log to standard error",
    },
  },
  examples: [
    `${PROGRAM} start`,
    `${PROGRAM} start --port 9801 --max-memory 64MiB --snapshot queue.snapshot`,
    `${PROGRAM} start --host 0.0.0.0 --token-file token.txt`,
    `${PROGRAM} start --foreground --log-format json`,
    `TINYMQ_MAX_MEMORY=64MiB ${PROGRAM} start     (every option can be given like this)`,
    `TINYMQ_HOME=/srv/second ${PROGRAM} start --port 9802     (each state folder has one server)`,
  ],
  async run({ args }) {
    const folder = stateFolder();
    const handover: Handover = {
      folder,
      version: manifest.version,
      options: readServerOptions(args, process.env),
      ...readLogOptions(args, process.env),
      log: args.foreground ? "" : join(folder, LOG_FILE),
    };
    makeStateFolder(folder);
    const running = runningServer();
    if (running !== null) throw alreadyRunning(running);
    if (!args.foreground) return announce(await leaveInBackground(handover));
    const daemon: typeof import("../daemon/daemon.ts") = await import(daemonEntry());
    await daemon.serve(handover);
  },
});

async function leaveInBackground(handover: Handover): Promise<ServerRecord> {
  // The server warns, too, but into its log.
  for (const warning of tokenFileWarnings(handover.options.tokenFile ?? "")) talk.warn(warning);
  const interrupted = new AbortController();
  const signals = watchSignals();
  void signals.first.then(() => interrupted.abort());
  const notice = setTimeout(() => talk.info(`Still starting; the log is ${handover.log}`), NOTICE_MS);
  try {
    const record = await startInBackground(handover, interrupted.signal);
    await waitForAnswer(record, interrupted.signal);
    return record;
  } catch (error) {
    throw interrupted.signal.aborted
      ? new TinyMQError("CANCELLED", "interrupted: no server was started")
      : error;
  } finally {
    clearTimeout(notice);
    signals.dispose();
  }
}

async function waitForAnswer(record: ServerRecord, interrupted: AbortSignal): Promise<void> {
  const deadline = Date.now() + ANSWER_MS;
  while (!(await isAnswering(record))) {
    if (interrupted.aborted || Date.now() > deadline) {
      process.kill(record.pid, "SIGTERM");
      throw new TinyMQError(
        "UNAVAILABLE",
        `the server does not answer and was stopped; its log: ${record.log}`,
      );
    }
    await Bun.sleep(20);
  }
}

async function isAnswering(record: ServerRecord): Promise<boolean> {
  try {
    await fetch(`${serverUrl(targetOf(record), "http")}/health`, {
      signal: AbortSignal.timeout(ANSWER_MS),
      tls: { rejectUnauthorized: false },
    });
    return true;
  } catch {
    // Asked again until ANSWER_MS have passed; its log then says more than this error.
    return false;
  }
}

function announce(record: ServerRecord): void {
  const rows = table([
    ["address", serverUrl(record)],
    ["pid", String(record.pid)],
    ["log", record.log],
  ]);
  const name = callName();
  const next = ["produce greetings", "consume greetings", "status", "stop"].map((words, index) => {
    return `  ${index === 0 ? "echo hello | " : ""}${name} ${words}\n`;
  });
  print(`tinyMQ ${record.version} is running.\n\n${rows}\nTry next:\n${next.join("")}`);
}
