/** Who waits for a message, in the order of waiting. */
import type { TinyMQError } from "../errors.ts";
import { Fifo } from "../wire/fifo.ts";

/** Somebody who waits for a message. */
export interface Waiter {
  /** A message is there: `inbox` stands on it. */
  take(): void;
  /** Its own pull was answered with nothing. Only of polls. */
  empty(): void;
  fail(error: TinyMQError): void;
  /** By the clock, when to give up; undefined: at once, but not before the lock is there; Infinity: never. */
  readonly deadline: number | undefined;
  /** Its own pull, 0 for none. */
  pullId: number;
}

export class Waiters extends Fifo<Waiter> {
  /** The pull of a waiter, if it is one, was answered by nothing that counts: it has none now. */
  unanswered(pullId: number): void {
    for (const waiter of this) if (waiter.pullId === pullId) waiter.pullId = 0;
  }

  /** The waiter of this pull waited in vain; if it was served meanwhile, nothing happens. */
  giveUp(pullId: number): void {
    const waiters = this.drain();
    for (const waiter of waiters) if (waiter.pullId !== pullId) this.push(waiter);
    for (const waiter of waiters) if (waiter.pullId === pullId) waiter.empty();
  }

  /** The stream is gone, and every pull with it. */
  forgetPulls(): void {
    for (const waiter of this) waiter.pullId = 0;
  }
}
