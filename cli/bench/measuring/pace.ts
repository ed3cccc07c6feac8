/** Sending at a fixed rate. */
import { setImmediate as nextTurn, setTimeout as sleep } from "node:timers/promises";
import { nowMicros } from "./clock.ts";

/** Timers are too coarse below this, in µs: the rest is waited for in turns of the event loop. */
const COARSEST_TIMER = 2_000;
/** How long it may go unnoticed that sending is over, in ms. */
const LONGEST_SLEEP_MS = 20;
/** Late messages that are sent before acknowledgements are read. */
const MOST_AT_ONCE = 512;

export interface PaceOptions {
  /** When message 0 is due, and the time from each message to the next, in µs of `nowMicros`. */
  firstDue: number;
  interval: number;
  /** Messages. */
  count: number;
  /** How many may be sent now. */
  room(): number;
  /** Whether the rest is not sent. */
  isOver(): boolean;
  /** Sends message `number`, which was due at `due`. MUST NOT throw. */
  send(number: number, due: number): void;
}

/**
 * An open loop: each message is sent when it is due, whatever became of those before it, or as soon after
 * that as there is room. Resolves when the last one is sent, or it is over.
 */
export async function sendPaced(options: PaceOptions): Promise<void> {
  const { firstDue, interval, count } = options;
  let next = 0;
  while (next < count && !options.isOver()) {
    const due = Math.floor((nowMicros() - firstDue) / interval) + 1;
    const end = Math.min(count, due, next + Math.min(MOST_AT_ONCE, options.room()));
    for (; next < end; next += 1) options.send(next, firstDue + next * interval);
    if (next === count) return;
    const waitMs = (firstDue + next * interval - nowMicros() - COARSEST_TIMER) / 1_000;
    if (waitMs > 0) await sleep(Math.min(LONGEST_SLEEP_MS, waitMs));
    else await nextTurn();
  }
}
