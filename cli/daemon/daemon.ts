/**
 * The process that `start` leaves behind. It loads nothing of the command line, so that it stays small: it
 * reads what to do from standard input, where no other user can see it, and answers on a pipe, once.
 */
import { closeSync, readFileSync, writeSync } from "node:fs";
import { type Code, toTinyMQError } from "../../src/errors.ts";
import { type Handover, serve } from "./serve.ts";
import type { ServerRecord } from "./server-record.ts";

/** The descriptor of the pipe to `start`. */
const REPORT_PIPE = 3;

/** What `start` reads: the server's PID file, or why there is no server. */
export type Report = { ready: ServerRecord } | { failed: { code: Code; message: string } };

let reported = false;
try {
  const handover: Handover = JSON.parse(readFileSync(0, "utf8"));
  await serve(handover, (ready) => report({ ready }));
  process.exit(0);
} catch (thrown) {
  const { code, message } = toTinyMQError(thrown);
  process.stderr.write(`${code === "INTERNAL" && thrown instanceof Error ? thrown.stack : message}\n`);
  if (!reported) report({ failed: { code, message } });
  process.exit(1);
}

function report(content: Report): void {
  reported = true;
  try {
    writeSync(REPORT_PIPE, `${JSON.stringify(content)}\n`);
    closeSync(REPORT_PIPE);
  } catch (error) {
    // `start` was interrupted. The server runs all the same, and `status` finds it.
    process.stderr.write(`the start was interrupted, and nobody reads its report: ${String(error)}\n`);
  }
}
