/** The clock of client and server. It is injected, so that tests advance time instead of waiting. */

export interface Clock {
  /** Milliseconds since some fixed moment; never goes back. */
  now(): number;
  /** Milliseconds since 1970, for people and for files. */
  wall(): number;
  /** Calls `run` once, after `ms` (at most LONGEST_TIMER) or a little later; the returned function cancels it. */
  after(ms: number, run: () => void): () => void;
}

/** Longest delay of a runtime's timer, in ms (source: HTML, "Timers": a signed 32-bit number). */
export const LONGEST_TIMER = 2 ** 31 - 1;

/** The system's clock. */
export const SYSTEM_CLOCK: Clock = {
  now: () => performance.now(),
  wall: () => Date.now(),
  after(ms, run) {
    const timer = setTimeout(run, Math.min(Math.max(0, Math.ceil(ms)), LONGEST_TIMER));
    return () => clearTimeout(timer);
  },
};
