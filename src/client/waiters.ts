/** The polls, and the steps of loops, that wait for a message. */
import type { Clock } from "../wire/clock.ts";
import { Fifo } from "../wire/fifo.ts";
import { noAnswer } from "./close-error.ts";
import type { Connection } from "./connection.ts";

/** How long the server may take to answer a poll that does not wait, in ms. */
const ANSWER_LIMIT_MS = 5_000;

export class Waiter {
  readonly isLoop: boolean;
  /** Whether it waits for a message until its deadline; otherwise only for the server's answer. */
  readonly isPatient: boolean;
  /** Called when the inbox's current message is for this waiter. */
  readonly take: () => void;
  /** Called when there is no message: a poll resolves with null, a loop ends. */
  readonly empty: () => void;
  readonly fail: (error: unknown) => void;
  /** By the clock; Infinity: never. */
  deadline: number;
  /** The pull that was sent for it, 0 for none; and whether to send another one if that is answered empty. */
  pullId = 0;
  asksAgain = false;

  /** `deadline`: Infinity for a loop; undefined for a poll that only waits for the server's answer. */
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

  /** Restarts the time limit for an answer. */
  extend(now: number): void {
    this.deadline = now + ANSWER_LIMIT_MS;
  }
}

/** All waiters. Always holds: they are in the order of waiting; none waits past its deadline. */
export class Waiters {
  readonly #waiters = new Fifo<Waiter>();
  readonly #connection: Connection;
  readonly #clock: Clock;
  readonly #onLate: () => void;
  /** When the timer fires: at the first deadline or earlier; Infinity if no timer runs. */
  #timerAt = Number.POSITIVE_INFINITY;
  #cancelTimer = () => {};

  /** `onLate` is called after the timer fired: some waiters may have been removed. */
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

  /** Removes and returns the oldest waiter. */
  shift(): Waiter | undefined {
    return this.#waiters.shift();
  }

  /** Removes and returns all waiters, oldest first. */
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

  /** Removes `waiter`, if it still waits. */
  leave(waiter: Waiter): void {
    for (let index = 0; index < this.#waiters.length; index++) {
      if (this.#waiters.at(index) !== waiter) continue;
      this.#waiters.splice(index, 1);
      return;
    }
  }

  /** Forgets the pulls of all waiters, since their stream is gone. */
  forgetPulls(): void {
    for (const waiter of this.#waiters) waiter.pullId = 0;
  }

  /** Removes all waiters; each fails with `error`. */
  fail(error: unknown): void {
    this.#cancelTimer();
    for (const waiter of this.#waiters.drain()) waiter.fail(error);
  }

  #setTimer(at: number): void {
    this.#cancelTimer();
    this.#timerAt = at;
    this.#cancelTimer = this.#clock.after(at - this.#clock.now(), this.#timesUp);
  }

  /** Ends the waits that are past their deadline, whatever the server does. */
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
