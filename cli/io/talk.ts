/** What the program prints: results on standard output, everything else on standard error. */
import { writeSync } from "node:fs";
import { createConsola } from "consola/core";

export const STANDARD_OUTPUT = 1;
const STANDARD_ERROR = 2;
/** How long to wait before writing again to a non-blocking output that is full, in ms. */
export const FULL_MS = 5;
const MARKS: Readonly<Record<string, { text: string; color: number }>> = {
  error: { text: "error: ", color: 31 },
  warn: { text: "warning: ", color: 33 },
};

/** Writes a result to standard output. A reader that has gone (`| head`) is no error. */
export function print(text: string): void {
  writeAll(STANDARD_OUTPUT, text);
}

/** Writes to standard error, as it is. */
export function complain(text: string): void {
  writeAll(STANDARD_ERROR, text);
}

/** `talk.error`, `talk.warn` and `talk.info` write one message each to standard error. */
export const talk = createConsola({
  level: 3,
  throttle: 0,
  reporters: [
    {
      log({ type, args }) {
        const mark = MARKS[type];
        complain(`${mark ? colored(mark.text, mark.color) : ""}${args.join(" ")}\n`);
      },
    },
  ],
});

/** A title, in bold where standard output is a terminal. */
export function bold(title: string): string {
  return hasColors(process.stdout) ? `\x1b[1m${title}\x1b[22m` : title;
}

function colored(text: string, color: number): string {
  return hasColors(process.stderr) ? `\x1b[${color}m${text}\x1b[39m` : text;
}

/** Whether colours may be written: to a terminal, unless the user asks for none (source: no-color.org). */
function hasColors(stream: { isTTY?: boolean }): boolean {
  return Boolean(stream.isTTY) && !process.env.NO_COLOR && process.env.TERM !== "dumb";
}

/** Whether an error of a write means that its reader has gone: of a pipe, or of a socket with unread data. */
export function isReaderGone(code: string | undefined): boolean {
  return code === "EPIPE" || code === "ECONNRESET";
}

function writeAll(descriptor: number, text: string): void {
  let rest: Uint8Array = new TextEncoder().encode(text);
  while (rest.length > 0) {
    try {
      rest = rest.subarray(writeSync(descriptor, rest));
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code;
      // EAGAIN: the reader of the pipe is slow, and someone made the pipe non-blocking.
      if (code === "EAGAIN") Bun.sleepSync(FULL_MS);
      else if (isReaderGone(code) || code === "EBADF") return;
      else throw error;
    }
  }
}
