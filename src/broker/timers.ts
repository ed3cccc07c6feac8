/** All timers of the server in one heap, behind one timer of the runtime. */
import type { Clock } from "../wire/clock.ts";
import { type Due, DueHeap } from "./due-heap.ts";

/** What is due runs for so long in one turn, in ms: thousands of topics may have much that is due together. */
const TURN_MS = 10;

export interface Timer extends Due {
  readonly run: () => void;
}

/** Resolves in a later turn of the event loop: others are served between two parts of a long work. */
export function nextTurn(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 0));
}

export class Timers {
  readonly clock: Clock;
  readonly #heap = new DueHeap<Timer>();
  #disarm: (() => void) | null = null;
  #armedFor = Number.POSITIVE_INFINITY;
  /** When the turn began that runs timers now: what is set meanwhile comes behind all that were due then. */
  #turn = Number.NEGATIVE_INFINITY;
  #closed = false;

  constructor(clock: Clock) {
    this.clock = clock;
  }

  get waiting(): number {
    return this.#heap.length;
  }

  /** Calls `run` once the clock shows `due`; of those due together the first that was set comes first. */
  at(due: number, run: () => void): Timer {
    const timer: Timer = { due: Math.max(due, this.#turn), run, order: 0, slot: -1 };
    this.#heap.push(timer);
    this.#arm();
    return timer;
  }

  after(ms: number, run: () => void): Timer {
    return this.at(this.clock.now() + ms, run);
  }

  /** Does nothing to a timer that ran or was cancelled. */
  cancel(timer: Timer | null): void {
    if (timer !== null) this.#heap.remove(timer);
  }

  /** Runs what is due, in order, some at a time, and arms the runtime's timer for the next. */
  runDue(): void {
    const now = this.clock.now();
    // Timers that are set meanwhile and are due at once run the next time, so that this loop ends.
    const before = this.#heap.added;
    this.#turn = now;
    try {
      for (let next = this.#heap.first(); next !== undefined && next.due <= now; next = this.#heap.first()) {
        if (next.order >= before || this.clock.now() - now > TURN_MS) break;
        this.#heap.remove(next);
        next.run();
      }
    } finally {
      this.#turn = Number.NEGATIVE_INFINITY;
      // Also when one of them throws, or the others would wait for ever.
      this.#armedFor = Number.POSITIVE_INFINITY;
      this.#arm();
    }
  }

  close(): void {
    this.#closed = true;
    this.#disarm?.();
    this.#disarm = null;
  }

  #arm(): void {
    const next = this.#heap.nextDue;
    if (this.#closed || next >= this.#armedFor) return;
    this.#disarm?.();
    this.#armedFor = next;
    this.#disarm = this.clock.after(next - this.clock.now(), () => this.runDue());
  }
}
