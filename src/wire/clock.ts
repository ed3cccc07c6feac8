/** Time, for both ends: injected, so that tests move it instead of waiting for it. */

export interface Clock {
  /** Milliseconds since some fixed moment; never goes back. */
  now(): number;
  /** Milliseconds since 1970, for people and for files. */
  wall(): number;
  /** Calls `run` once, `ms` from now or a little later; the function it returns calls that off. */
  after(ms: number, run: () => void): () => void;
}

/** A timer of the runtime goes wrong above this many ms (source: HTML, "Timers": a signed 32-bit number). */
export const LONGEST_TIMER = 2 ** 31 - 1;

/** The clock of the machine. */
export const SYSTEM_CLOCK: Clock = {
  now: () => performance.now(),
  wall: () => Date.now(),
  after(ms, run) {
    const timer = setTimeout(run, Math.min(Math.max(0, Math.ceil(ms)), LONGEST_TIMER));
    return () => clearTimeout(timer);
  },
};
