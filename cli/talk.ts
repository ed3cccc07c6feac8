/** What the program says: results on standard output, everything else on standard error. */
import { writeSync } from "node:fs";
import { createConsola } from "consola/core";

const MARKS: Record<string, { text: string; color: string }> = {
  error: { text: "error: ", color: "\x1b[31m" },
  warn: { text: "warning: ", color: "\x1b[33m" },
};

/** Whether colours may be written there: to a terminal, and if nobody objects (source: no-color.org). */
export function hasColors(stream: { isTTY?: boolean }): boolean {
  return Boolean(stream.isTTY) && !process.env.NO_COLOR && process.env.TERM !== "dumb";
}

/** `talk.error`, `talk.warn` and `talk.info` write one message each to standard error. */
export const talk = createConsola({
  level: 3,
  throttle: 0,
  reporters: [
    {
      log({ type, args }) {
        const mark = MARKS[type];
        const prefix = !mark
          ? ""
          : hasColors(process.stderr)
            ? `${mark.color}${mark.text}\x1b[39m`
            : mark.text;
        complain(`${prefix}${args.join(" ")}\n`);
      },
    },
  ],
});

/** Writes a result to standard output. That nobody reads it (`| head`) is no error. */
export function print(text: string): void {
  writeAll(1, text);
}

/** Writes to standard error, as it is. */
export function complain(text: string): void {
  writeAll(2, text);
}

/** A title, in bold where standard output is a terminal. */
export function bold(title: string): string {
  return hasColors(process.stdout) ? `\x1b[1m${title}\x1b[22m` : title;
}

/** "name  value" lines, the values below each other. */
export function table(rows: ReadonlyArray<readonly [string, string]>): string {
  const width = Math.max(...rows.map(([name]) => name.length)) + 2;
  return rows.map(([name, value]) => `${name.padEnd(width)}${value}\n`).join("");
}

function writeAll(descriptor: number, text: string): void {
  let rest: Uint8Array = new TextEncoder().encode(text);
  while (rest.length > 0) {
    try {
      rest = rest.subarray(writeSync(descriptor, rest));
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code;
      // EAGAIN: the reader of the pipe is slow, and someone made the pipe non-blocking.
      if (code === "EAGAIN") Bun.sleepSync(5);
      else if (code === "EPIPE" || code === "EBADF") return;
      else throw error;
    }
  }
}
