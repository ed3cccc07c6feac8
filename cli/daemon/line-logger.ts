/**
 * The log of a server: lines to standard error. In the background that is a file, which is kept from growing
 * without end. Logging never stops a server: lines that cannot be written are counted, and the count is logged
 * with the next line that can.
 */
import { copyFileSync, fstatSync, ftruncateSync, rmSync, writeSync } from "node:fs";
import type { Logger } from "../../src/server/logger.ts";

export const LOG_LEVELS = ["debug", "info", "warn", "error"] as const;
export const LOG_FORMATS = ["text", "json"] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];
export type LogFormat = (typeof LOG_FORMATS)[number];

const STANDARD_ERROR = 2;
/** A log file larger than this, in bytes, moves to FILE.1, which it replaces. */
const MAX_LOG_BYTES = 10 * 1024 * 1024;

export interface LineLoggerOptions {
  level: LogLevel;
  format: LogFormat;
  /** The path of the log file that standard error goes to; "" if it goes elsewhere. */
  file: string;
  /** Bytes; for tests. */
  maxBytes?: number;
}

/** A logger that writes lines to standard error. */
export function createLineLogger(options: LineLoggerOptions): Logger {
  const least = LOG_LEVELS.indexOf(options.level);
  const format = options.format === "json" ? jsonLine : textLine;
  const maxBytes = options.maxBytes ?? MAX_LOG_BYTES;
  let bytes = options.file === "" ? 0 : fstatSync(STANDARD_ERROR).size;
  let lost = 0;

  function write(level: LogLevel, message: string): void {
    if (LOG_LEVELS.indexOf(level) < least) return;
    try {
      if (options.file !== "" && bytes > maxBytes) {
        rotate(options.file);
        bytes = 0;
      }
      const note = lost === 0 ? "" : format("warn", `${lost} log lines before this one could not be written`);
      bytes += writeSync(STANDARD_ERROR, note + format(level, message));
      lost = 0;
    } catch {
      lost += 1;
    }
  }

  return {
    debug: (message) => write("debug", message),
    info: (message) => write("info", message),
    warn: (message) => write("warn", message),
    error: (message) => write("error", message),
  };
}

/** Copied (to a new file, never into a FIFO or a link) and truncated: Bun prints to the open file in a crash. */
function rotate(file: string): void {
  rmSync(`${file}.1`, { force: true });
  copyFileSync(file, `${file}.1`);
  ftruncateSync(STANDARD_ERROR, 0);
}

function textLine(level: LogLevel, message: string): string {
  return `${new Date().toISOString()} ${level.padEnd(5)} ${escapeControls(message)}\n`;
}

function jsonLine(level: LogLevel, message: string): string {
  return `${JSON.stringify({ time: new Date().toISOString(), level, message })}\n`;
}

/** What a client sends may be part of a message: it must not look like another line, or move a cursor. */
function escapeControls(message: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
  return message.replaceAll(/[\u0000-\u001f\u007f-\u009f]/g, (character) => {
    return character === "\n" ? "\\n" : `\\x${character.charCodeAt(0).toString(16).padStart(2, "0")}`;
  });
}
