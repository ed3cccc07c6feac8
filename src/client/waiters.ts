/** Who waits for a message: steps of loops, and polls. */
import type { Clock } from "../wire/clock.ts";
import { Fifo } from "../wire/fifo.ts";
import { noAnswer } from "./close-error.ts";
import type { Connection } from "./connection.ts";

/** How long the server may take to answer a poll that does not wait, in ms. */
const ANSWER_LIMIT_MS = 5_000;

export class Waiter {
  readonly isLoop: boolean;
  /** Waits until its deadline; else for an answer of the server, and only so long. */
  readonly isPatient: boolean;
  /** The message that the inbox stands on is its. */
  readonly take: () => void;
  /** There is none: a poll has null, a loop ends. */
  readonly empty: () => void;
  readonly fail: (error: unknown) => void;
  /** By the clock; Infinity: never. */
  deadline: number;
  /** The pull that was made for it, 0 for none; and whether it asks again when that is answered with nothing. */
  pullId = 0;
  asksAgain = false;

  /** A poll that waits until `deadline`, or for an answer alone; or a loop, whose deadline is Infinity. */
  constructor(
    now: number,
    deadline: number | undefined,
    take: () => void,
    empty: () => void,
    fail: (error: unknown) => void,
  ) {
    this.isLoop = deadline === Number.POSITIVE_INFINITY;
    this.isPatient = deadline !== undefined;
    this.deadline = deadline ?? now + ANSWER_LIMIT_MS;
    this.take = take;
    this.empty = empty;
    this.fail = fail;
  }

  /** The time for an answer begins again. */
  extend(now: number): void {
    this.deadline = now + ANSWER_LIMIT_MS;
  }
}

/** Always holds: they stand in the order of waiting; nobody waits longer than its deadline. */
export class Waiters {
  readonly #waiters = new Fifo<Waiter>();
  readonly #connection: Connection;
  readonly #clock: Clock;
  readonly #onLate: () => void;
  /** The first deadline, or earlier; Infinity: no timer runs. */
  #timerAt = Number.POSITIVE_INFINITY;
  #cancelTimer = () => {};

  /** `onLate` is called when some have given up. */
  constructor(connection: Connection, clock: Clock, onLate: () => void) {
    this.#connection = connection;
    this.#clock = clock;
    this.#onLate = onLate;
  }

  get length(): number {
    return this.#waiters.length;
  }

  /** The waiter at `index`, 0 being the oldest. */
  at(index: number): Waiter | undefined {
    return this.#waiters.at(index);
  }

  push(waiter: Waiter): void {
    this.#waiters.push(waiter);
    if (waiter.deadline < this.#timerAt) this.#setTimer(waiter.deadline);
  }

  /** Takes out the oldest. */
  shift(): Waiter | undefined {
    return this.#waiters.shift();
  }

  /** Takes out all, oldest first. */
  drain(): Waiter[] {
    return this.#waiters.drain();
  }

  /** The waiter of this pull, if it still waits. */
  ofPull(pullId: number): Waiter | undefined {
    for (let index = 0; index < this.#waiters.length; index++) {
      const waiter = this.#waiters.at(index)!;
      if (waiter.pullId === pullId) return waiter;
    }
    return undefined;
  }

  /** Takes out `waiter`, if it still waits. */
  leave(waiter: Waiter): void {
    for (let index = 0; index < this.#waiters.length; index++) {
      if (this.#waiters.at(index) !== waiter) continue;
      this.#waiters.splice(index, 1);
      return;
    }
  }

  /** The pulls of all are gone. */
  forgetPulls(): void {
    for (const waiter of this.#waiters) waiter.pullId = 0;
  }

  /** The end: all fail with `error`. */
  fail(error: unknown): void {
    this.#cancelTimer();
    for (const waiter of this.#waiters.drain()) waiter.fail(error);
  }

  #setTimer(at: number): void {
    this.#cancelTimer();
    this.#timerAt = at;
    this.#cancelTimer = this.#clock.after(at - this.#clock.now(), this.#timesUp);
  }

  /** Those whose time is over wait no more, whatever the server does. */
  readonly #timesUp = (): void => {
    const now = this.#clock.now();
    this.#timerAt = Number.POSITIVE_INFINITY;
    for (const waiter of this.#waiters.drain()) {
      if (!waiter.isPatient && this.#connection.state === "standby") waiter.extend(now);
      if (waiter.deadline > now) this.push(waiter);
      else if (waiter.isPatient) waiter.empty();
      else waiter.fail(noAnswer(this.#connection.isOpen));
    }
    this.#onLate();
  };
}
