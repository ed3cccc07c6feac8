/** `start`: a server, in the background or not. */
import { join } from "node:path";
import manifest from "../../package.json" with { type: "json" };
import { TinyMQError } from "../../src/errors.ts";
import { isAnswering } from "../admin.ts";
import { daemonEntry, startInBackground } from "../background.ts";
import { command, parseValue } from "../command.ts";
import { PROGRAM } from "../help.ts";
import { LOG_FORMATS, LOG_LEVELS, type LogFormat, type LogLevel } from "../line-logger.ts";
import { alreadyRunning, type Handover } from "../serve.ts";
import { readServerOptions, serverArguments } from "../server-arguments.ts";
import { type ServerRecord, serverUrl } from "../server-record.ts";
import { LOG_FILE, makeStateFolder, stateFolder } from "../state-folder.ts";
import { print, table, talk } from "../talk.ts";
import { runningServer, targetOf } from "../target.ts";

/** After this long (ms) without a server, the user is told that we wait. */
const NOTICE_MS = 3_000;
/** A server that is bound answers within this (ms), however busy the machine is. */
const ANSWER_MS = 15_000;

const LOG_ARGUMENTS = {
  "log-level": { choices: LOG_LEVELS, fallback: "info", description: "least important lines to log (info)" },
  "log-format": { choices: LOG_FORMATS, fallback: "text", description: "how a line of the log looks (text)" },
} as const;

export const start = command({
  meta: { name: "start", description: "starts a server in the background, and returns when it is ready" },
  args: {
    ...serverArguments(),
    ...Object.fromEntries(
      Object.entries(LOG_ARGUMENTS).map(([name, { choices, description }]) => [
        name,
        { type: "string" as const, valueHint: choices.join("|"), description },
      ]),
    ),
    foreground: { type: "boolean", default: false, description: "stay, and log to standard error" },
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
      logLevel: readChoice(args, "log-level") as LogLevel,
      logFormat: readChoice(args, "log-format") as LogFormat,
      log: args.foreground ? "" : join(folder, LOG_FILE),
    };
    makeStateFolder(folder);
    const running = runningServer();
    if (running !== null) throw alreadyRunning(running);
    if (args.foreground) await stay(handover);
    else announce(await leaveInBackground(handover));
  },
});

function readChoice(args: Readonly<Record<string, unknown>>, name: keyof typeof LOG_ARGUMENTS): string {
  const { choices, fallback } = LOG_ARGUMENTS[name];
  const value = args[name] ?? (process.env[`TINYMQ_${name.toUpperCase().replace("-", "_")}`] || fallback);
  return parseValue({ name, kind: "choice", choices }, String(value)) as string;
}

/** The server's code is in a program of its own, which this one loads only here. */
async function stay(handover: Handover): Promise<void> {
  const daemon: typeof import("../daemon.ts") = await import(daemonEntry());
  await daemon.serveTinyMQ(handover);
}

async function leaveInBackground(handover: Handover): Promise<ServerRecord> {
  const interrupted = new AbortController();
  const interrupt = (): void => interrupted.abort();
  process.on("SIGINT", interrupt);
  process.on("SIGTERM", interrupt);
  const notice = setTimeout(() => talk.info(`Still starting; the log is ${handover.log}`), NOTICE_MS);
  try {
    const record = await startInBackground(handover, daemonEntry(), interrupted.signal);
    await waitForAnswer(record, interrupted.signal);
    return record;
  } catch (error) {
    throw interrupted.signal.aborted
      ? new TinyMQError("CANCELLED", "interrupted: no server was started")
      : error;
  } finally {
    clearTimeout(notice);
    process.off("SIGINT", interrupt);
    process.off("SIGTERM", interrupt);
  }
}

async function waitForAnswer(record: ServerRecord, interrupted: AbortSignal): Promise<void> {
  const deadline = Date.now() + ANSWER_MS;
  while (!(await isAnswering({ ...targetOf(record), token: "" }))) {
    if (interrupted.aborted || Date.now() > deadline) {
      process.kill(record.pid, "SIGTERM");
      throw new TinyMQError(
        "UNAVAILABLE",
        `the server does not answer, and is stopped; its log: ${record.log}`,
      );
    }
    await Bun.sleep(20);
  }
}

function announce(record: ServerRecord): void {
  const rows = table([
    ["address", serverUrl(record)],
    ["pid", String(record.pid)],
    ["log", record.log],
  ]);
  const next = ["produce greetings", "consume greetings", "status", "stop"].map((words, index) => {
    return `  ${index === 0 ? "echo hello | " : ""}${callName()} ${words}\n`;
  });
  print(`tinyMQ ${record.version} is running.\n\n${rows}\nTry next:\n${next.join("")}`);
}

/** How this program was called: what bunx and npx run is not on PATH. */
function callName(): string {
  if (/\/bunx-\d+-/.test(import.meta.path)) return `bunx ${PROGRAM}`;
  return /\/_npx\//.test(import.meta.path) ? `npx ${PROGRAM}` : PROGRAM;
}
