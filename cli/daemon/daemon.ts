/**
 * The process that `start` leaves behind. It loads nothing of the command line, so that it stays small: it
 * reads what to do from standard input, where no other user can see it, and answers on a pipe, once.
 * `start --foreground` loads it too, and calls `serve` itself.
 */
import { closeSync, readFileSync, writeSync } from "node:fs";
import { type Code, toTinyMQError } from "../../src/errors.ts";
import { complain } from "../io/talk.ts";
import { type Handover, serve } from "./serve.ts";
import type { ServerRecord } from "./server-record.ts";

/** The descriptor of the pipe to `start`. */
const REPORT_PIPE = 3;

/** What `start` reads: the server's PID file, or why there is no server. */
export type Report = { ready: ServerRecord } | { failed: { code: Code; message: string } };

export { serve };

if (import.meta.main) process.exit(await runInBackground());

/** Returns the exit code. */
async function runInBackground(): Promise<number> {
  let ready = false;
  try {
    const handover: Handover = JSON.parse(readFileSync(0, "utf8"));
    await serve(handover, (record) => {
      ready = true;
      report({ ready: record });
    });
    return 0;
  } catch (thrown) {
    const { code, message } = toTinyMQError(thrown);
    complain(`${code === "INTERNAL" && thrown instanceof Error ? thrown.stack : message}\n`);
    if (!ready) report({ failed: { code, message } });
    return 1;
  }
}

function report(content: Report): void {
  try {
    writeSync(REPORT_PIPE, `${JSON.stringify(content)}\n`);
    closeSync(REPORT_PIPE);
  } catch (error) {
    // `start` was interrupted. The server runs all the same, and `status` finds it.
    complain(`the start was interrupted, and nobody reads its report: ${String(error)}\n`);
  }
}
