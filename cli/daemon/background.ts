/** Starts the server's process from the command line's, and reads how the start went. */
import { closeSync, constants, existsSync, fchmodSync, lstatSync, openSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { TinyMQError } from "../../src/errors.ts";
import type { Report } from "./daemon.ts";
import type { Handover } from "./serve.ts";
import type { ServerRecord } from "./server-record.ts";

/** Left out of the server's environment: its options, which it is handed, and the token. */
const OWN_VARIABLES = /^TINYMQ_/;

/**
 * Starts a server that outlives this process; resolves when it is bound and has its PID file. Throws what
 * kept it from starting. `signal` ends a start that is not yet done.
 */
export async function startInBackground(
  handover: Handover,
  signal?: AbortSignal,
  entry = daemonEntry(),
): Promise<ServerRecord> {
  const log = openLog(handover.log);
  const child = Bun.spawn([process.execPath, "--no-env-file", entry], {
    detached: true,
    // The server keeps no folder busy that somebody may want to unmount, and reads no bunfig.toml.
    cwd: "/",
    env: Object.fromEntries(Object.entries(process.env).filter(([name]) => !OWN_VARIABLES.test(name))),
    stdio: [new TextEncoder().encode(JSON.stringify(handover)), log, log, "pipe"],
  });
  closeSync(log);
  const kill = (): void => child.kill("SIGTERM");
  signal?.addEventListener("abort", kill, { once: true });
  try {
    const text = await Bun.file(child.stdio[3] as number).text();
    if (text !== "") return readReport(JSON.parse(text), handover.log);
    await child.exited;
    const how = child.signalCode ?? `exit code ${child.exitCode}`;
    const message = `the server ended before it was ready (${how}); its log: ${handover.log}`;
    throw new TinyMQError("UNAVAILABLE", message);
  } finally {
    signal?.removeEventListener("abort", kill);
    child.unref();
  }
}

/** The program `daemon`: below the bundled programs, or beside this file. */
export function daemonEntry(): string {
  const bundled = fileURLToPath(new URL("./daemon/daemon.js", import.meta.url));
  return existsSync(bundled) ? bundled : fileURLToPath(new URL("./daemon.ts", import.meta.url));
}

function readReport(report: Report, log: string): ServerRecord {
  if ("ready" in report) return report.ready;
  const { code, message } = report.failed;
  // An unexpected error: the log has its stack trace.
  if (code === "INTERNAL")
    throw new TinyMQError("UNKNOWN", `the server did not start: ${message}; its log: ${log}`);
  throw new TinyMQError(code, message);
}

function openLog(path: string): number {
  // Opening a FIFO would wait for a reader, and a link may lead anywhere.
  if (lstatSync(path, { throwIfNoEntry: false })?.isFile() === false) {
    throw new TinyMQError("FAILED_PRECONDITION", `the log ${path} is not a regular file: move it away`);
  }
  const flags = constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT | constants.O_NOFOLLOW;
  const descriptor = openSync(path, flags, 0o600);
  // Another program may have made it, with wider rights.
  fchmodSync(descriptor, 0o600);
  return descriptor;
}
