/**
 * Bounds connections: how many there are, and how many of them have not opened a stream yet. One that
 * wants in while too many have not opened waits for its turn, before it can send us anything.
 */
import type { Timer, Timers } from "../broker/timers.ts";

/** What a connection holds from its upgrade on, until it has opened. */
export interface Unopened {
  /** Frees its place; later calls do nothing. */
  leave(): void;
}

export class Admission {
  readonly #timers: Timers;
  readonly #maxConnections: number;
  readonly #maxUnopened: number;
  readonly #queue: (() => void)[] = [];
  connections = 0;
  #unopened = 0;

  constructor(timers: Timers, maxConnections: number, maxUnopened: number) {
    this.#timers = timers;
    this.#maxConnections = maxConnections;
    this.#maxUnopened = maxUnopened;
  }

  /** Whether one more may come in, those that wait counted. */
  get hasRoom(): boolean {
    return this.connections + this.#queue.length < this.#maxConnections;
  }

  /** A place among the unopened, at once or when one is free. */
  enter(): Promise<void> | undefined {
    if (this.#unopened < this.#maxUnopened) {
      this.#unopened += 1;
      return undefined;
    }
    return new Promise((resolve) => this.#queue.push(resolve));
  }

  /** A connection that has entered: it leaves by opening or closing; `late` is called if it does neither. */
  watch(afterMs: number, late: () => void): Unopened {
    const timer: Timer = this.#timers.after(afterMs, late);
    let left = false;
    return {
      leave: () => {
        if (left) return;
        left = true;
        this.#timers.cancel(timer);
        this.leave();
      },
    };
  }

  /** Frees a place among the unopened. */
  leave(): void {
    const next = this.#queue.shift();
    if (next === undefined) this.#unopened -= 1;
    else next();
  }
}
