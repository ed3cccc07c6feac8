/** Time, as the client sees it. Tests put another clock in its place. */

/** A running timer, to be given to `clearTimer`. */
export type Timer = unknown;

export interface Clock {
  /** Milliseconds from any beginning; never runs backwards. */
  now(): number;
  /** Calls `due` once, `delayMs` from now or later. */
  setTimer(due: () => void, delayMs: number): Timer;
  clearTimer(timer: Timer): void;
}

/** The runtime's own clock. */
export const systemClock: Clock = {
  now: () => performance.now(),
  setTimer: (due, delayMs) => setTimeout(due, delayMs),
  clearTimer: (timer) => clearTimeout(timer as ReturnType<typeof setTimeout>),
};
