/**
 * Everything that is due at some time, in one heap with one timer of the runtime behind it.
 *
 * Always holds: `heap[t.slot] === t` for every waiting timer, and no timer is due before its parent in the
 * heap; timers due at the same time run in the order in which they were set.
 */
import type { Clock } from "../wire/clock.ts";

export interface Timer {
  readonly due: number;
  readonly run: () => void;
  readonly order: number;
  /** Its place in the heap; −1 when it is not waiting. */
  slot: number;
}

export class Timers {
  readonly clock: Clock;
  readonly #heap: Timer[] = [];
  #order = 0;
  #disarm: (() => void) | null = null;
  #armedFor = Number.POSITIVE_INFINITY;
  #closed = false;

  constructor(clock: Clock) {
    this.clock = clock;
  }

  get waiting(): number {
    return this.#heap.length;
  }

  /** Calls `run` once the clock shows `due`. */
  at(due: number, run: () => void): Timer {
    const timer: Timer = { due, run, order: this.#order++, slot: this.#heap.length };
    this.#heap.push(timer);
    this.#rise(timer);
    this.#arm();
    return timer;
  }

  after(ms: number, run: () => void): Timer {
    return this.at(this.clock.now() + ms, run);
  }

  /** Does nothing to a timer that ran or was cancelled. */
  cancel(timer: Timer | null): void {
    if (timer === null || timer.slot < 0) return;
    const last = this.#heap.pop()!;
    if (last !== timer) {
      this.#place(last, timer.slot);
      this.#rise(last);
      this.#sink(last);
    }
    timer.slot = -1;
  }

  /** Runs all that is due, in order, and arms the runtime's timer for the next. */
  runDue(): void {
    const now = this.clock.now();
    // What is set to be due at once runs the next time, so that this loop ends.
    const before = this.#order;
    try {
      for (let next = this.#heap[0]; next !== undefined && next.due <= now; next = this.#heap[0]) {
        if (next.order >= before) break;
        this.cancel(next);
        next.run();
      }
    } finally {
      // Also where one of them throws: the others must not wait for ever.
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
    const next = this.#heap[0];
    if (this.#closed || next === undefined || next.due >= this.#armedFor) return;
    this.#disarm?.();
    this.#armedFor = next.due;
    this.#disarm = this.clock.after(next.due - this.clock.now(), () => this.runDue());
  }

  #rise(timer: Timer): void {
    while (timer.slot > 0) {
      const parent = this.#heap[(timer.slot - 1) >>> 1]!;
      if (!isBefore(timer, parent)) return;
      this.#swap(timer, parent);
    }
  }

  #sink(timer: Timer): void {
    for (;;) {
      const left = this.#heap[2 * timer.slot + 1];
      const right = this.#heap[2 * timer.slot + 2];
      const first = right !== undefined && isBefore(right, left!) ? right : left;
      if (first === undefined || !isBefore(first, timer)) return;
      this.#swap(first, timer);
    }
  }

  #swap(one: Timer, other: Timer): void {
    const slot = one.slot;
    this.#place(one, other.slot);
    this.#place(other, slot);
  }

  #place(timer: Timer, slot: number): void {
    timer.slot = slot;
    this.#heap[slot] = timer;
  }
}

function isBefore(one: Timer, other: Timer): boolean {
  return one.due < other.due || (one.due === other.due && one.order < other.order);
}
