/**
 * The process that `start` leaves behind. It knows nothing of the command line, so that it stays small: it
 * reads what to do from standard input, where no other user can see it, and answers on a pipe, once.
 */
import { closeSync, readFileSync, writeSync } from "node:fs";
import { type Code, toTinyMQError } from "../src/errors.ts";
import { TinyMQServer } from "../src/server/index.ts";
import { type Handover, serve } from "./serve.ts";
import type { ServerRecord } from "./server-record.ts";

/** The descriptor of the pipe to `start`. */
const REPORT_PIPE = 3;

/** What `start` is told: the server's PID file, or why there is no server. */
export type Report = { ready: ServerRecord } | { failed: { code: Code; message: string } };

/** Serves until a signal comes, in whatever process this is: `start --foreground` calls it too. */
export async function serveTinyMQ(
  handover: Handover,
  onReady?: (record: ServerRecord) => void,
): Promise<void> {
  await serve(handover, (options) => new TinyMQServer(options), onReady);
}

// Not awaited: a module that waits cannot be built with bytecode.
if (import.meta.main) void runInBackground();

async function runInBackground(): Promise<void> {
  let reported = false;
  const report = (content: Report): void => {
    reported = true;
    sendReport(content);
  };
  try {
    const handover: Handover = JSON.parse(readFileSync(0, "utf8"));
    await serveTinyMQ(handover, (ready) => report({ ready }));
    process.exit(0);
  } catch (thrown) {
    const { code, message } = toTinyMQError(thrown);
    process.stderr.write(`${code === "INTERNAL" && thrown instanceof Error ? thrown.stack : message}\n`);
    if (!reported) report({ failed: { code, message } });
    process.exit(1);
  }
}

function sendReport(content: Report): void {
  try {
    writeSync(REPORT_PIPE, `${JSON.stringify(content)}\n`);
    closeSync(REPORT_PIPE);
  } catch (error) {
    // `start` was interrupted. The server runs all the same, and `status` finds it.
    process.stderr.write(`nobody waits for the report of this start: ${String(error)}\n`);
  }
}
