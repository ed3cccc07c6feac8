/** The WebSocket close codes that streams end with, and the reasons that go with them. */
import { CODE_NUMBERS, type Code, codeFromNumber } from "../errors.ts";
import { MAX_CLOSE_REASON_BYTES } from "./limits.ts";
import { truncateUtf8 } from "./text.ts";

/** The stream ended normally. */
export const CLOSE_NORMAL = 1000;
/** Sent by a browser that leaves the page, rarely by the server's runtime. */
export const CLOSE_GOING_AWAY = 1001;
/** Sent by the runtime itself: a malformed frame, text that is not UTF-8, a frame that is too large. */
export const CLOSE_MALFORMED = 1002;
export const CLOSE_NOT_UTF8 = 1007;
export const CLOSE_TOO_LARGE = 1009;
/** Never sent: what a socket reports when no close frame arrived. */
export const CLOSE_ABNORMAL = 1006;
/** The server stops or restarts; clients reconnect. */
export const CLOSE_RESTART = 1012;
/** An error's close code is this plus its gRPC status number. */
export const CLOSE_ERROR_BASE = 4000;

const LARGEST_CODE = Math.max(...Object.values(CODE_NUMBERS));

/** Whether a first-version client that sent this close code ended its connection cleanly. */
export function isCleanClose(closeCode: number): boolean {
  return closeCode === CLOSE_NORMAL || closeCode === CLOSE_GOING_AWAY;
}

/** The close code of an error code. */
export function closeCodeOf(code: Code): number {
  return CLOSE_ERROR_BASE + CODE_NUMBERS[code];
}

/** The error code of a close code, or undefined if the close code does not stand for one. */
export function codeOfClose(closeCode: number): Code | undefined {
  if (closeCode < CLOSE_ERROR_BASE || closeCode > CLOSE_ERROR_BASE + LARGEST_CODE) return undefined;
  return codeFromNumber(closeCode - CLOSE_ERROR_BASE);
}

/** Truncates a reason to what fits into a close frame. */
export function closeReason(reason: string): string {
  return truncateUtf8(reason, MAX_CLOSE_REASON_BYTES);
}
