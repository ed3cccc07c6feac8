/** Close codes of a stream: how a WebSocket's end tells what happened. */
import { CODE_NUMBERS, type Code, codeFromNumber } from "../errors.ts";
import { MAX_CLOSE_REASON_BYTES } from "./limits.ts";
import { truncateUtf8 } from "./text.ts";

/** The stream is well and done. */
export const CLOSE_NORMAL = 1000;
/** The server stops, or the page goes away. */
export const CLOSE_GOING_AWAY = 1001;
/** A frame was malformed; its text was not UTF-8; it was too large: runtimes close so by themselves. */
export const CLOSE_MALFORMED = 1002;
export const CLOSE_NOT_UTF8 = 1007;
export const CLOSE_TOO_LARGE = 1009;
/** What a socket reports when no close frame came. */
export const CLOSE_ABNORMAL = 1006;
/** The server restarts: come back. */
export const CLOSE_RESTART = 1012;
/** Close codes of errors are this plus the gRPC status number. */
export const CLOSE_ERROR_BASE = 4000;

const LARGEST_CODE = Math.max(...Object.values(CODE_NUMBERS));

/** Whether a client of the first version that closed so did it on purpose: only a code says that, none does not. */
export function isCleanClose(closeCode: number): boolean {
  return closeCode === CLOSE_NORMAL || closeCode === CLOSE_GOING_AWAY;
}

/** The close code that tells `code`. */
export function closeCodeOf(code: Code): number {
  return CLOSE_ERROR_BASE + CODE_NUMBERS[code];
}

/** The code that a close code tells, or undefined if it tells of no error of ours. */
export function codeOfClose(closeCode: number): Code | undefined {
  if (closeCode < CLOSE_ERROR_BASE || closeCode > CLOSE_ERROR_BASE + LARGEST_CODE) return undefined;
  return codeFromNumber(closeCode - CLOSE_ERROR_BASE);
}

/** A reason as a close frame can carry it. */
export function closeReason(reason: string): string {
  return truncateUtf8(reason, MAX_CLOSE_REASON_BYTES);
}
