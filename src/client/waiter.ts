/** Who waits for a message: a step of a loop, or a poll. */

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
