/**
 * What a consumer asks the server for: who waits for a message, which pulls have no answer yet, and what
 * may be asked for now. Every pull is made here.
 *
 * Always holds: waiters stand in the order of waiting; `#asked` is the sum over `#pulls`.
 */
import { ConsumeRequest } from "../gen/tinymq/v1/queue.ts";
import type { Clock } from "../wire/clock.ts";
import { Fifo } from "../wire/fifo.ts";
import { MAX_PULLS_IN_FLIGHT, MiB } from "../wire/limits.ts";
import { protocolError } from "./close-error.ts";
import type { Connection } from "./connection.ts";
import { encodeFrame } from "./frame-codec.ts";
import type { Settlements } from "./settlements.ts";

/** How long the pull of a loop waits at the server before it is sent again, in ms. */
const LOOP_WAIT_MS = 60_000;
/** Maximum bytes of one pull, so that large messages do not multiply with `prefetch`. */
const PULL_BYTES = MiB;
/**
 * A delivery of fewer messages shows no backlog: asking ahead of need would only be answered with nothing.
 */
const BACKLOG = 16;

/** A poll, or a step of a loop, that waits for a message. */
export interface Waiter {
  /** A message is there: the inbox stands on it. May throw: `fail` is then called with that. */
  take(): void;
  /** Its own pull was answered with nothing. Only of polls. */
  empty(): void;
  fail(error: unknown): void;
  /** By the clock, when to give up; undefined: at once, but not before the lock is there; Infinity: never. */
  readonly deadline: number | undefined;
  /** The pull that was made for it, 0 for none. */
  pullId: number;
}

export class Demand {
  /** Loops that run: while there are any, pulls wait at the server for messages. */
  loops = 0;
  readonly #connection: Connection;
  readonly #settlements: Settlements;
  readonly #clock: Clock;
  readonly #prefetch: number;
  readonly #waiters = new Fifo<Waiter>();
  /** How many messages each pull without an answer asked for, by its id. */
  readonly #pulls = new Map<number, number>();
  #asked = 0;
  /** Ids are not used again, not even on another stream. */
  #lastPullId = 0;
  #maxPulls = MAX_PULLS_IN_FLIGHT;
  /** Below so many messages in the inbox polls ask for more, ahead of need. */
  #refillBelow = 0;
  /** The pull that does so, 0 for none. */
  #refillId = 0;

  /** `prefetch`: maximum unsettled messages held by the consumer. */
  constructor(connection: Connection, settlements: Settlements, clock: Clock, prefetch: number) {
    this.#connection = connection;
    this.#settlements = settlements;
    this.#clock = clock;
    this.#prefetch = prefetch;
  }

  /** Whether anybody waits for a message. */
  get waiting(): boolean {
    return this.#waiters.length > 0;
  }

  /** Whether as many messages are unsettled as may be. */
  get isFull(): boolean {
    return this.#settlements.positions.unsettled >= this.#prefetch;
  }

  /** Waits for a message. */
  wait(waiter: Waiter): void {
    this.#waiters.push(waiter);
    this.ask();
  }

  /** Whose turn it is: the oldest waiter waits no more. */
  next(): Waiter | undefined {
    return this.#waiters.shift();
  }

  /** Sends the pulls that are due: of loops, and of waiting polls. */
  ask(): void {
    if (!this.#connection.isOpen) return;
    if (this.loops > 0) this.#askAhead();
    let first = true;
    for (const waiter of this.#waiters) {
      if (this.#pulls.size >= this.#maxPulls) return;
      if (waiter.deadline !== Number.POSITIVE_INFINITY && waiter.pullId === 0) this.#askFor(waiter, first);
      first = false;
    }
  }

  /** A message was taken from the inbox, which holds `left` more. */
  taken(left: number): void {
    if (left < this.#refillBelow || this.loops > 0) this.#askAhead();
  }

  /** A pull was answered with `count` messages. During a rewind they are discarded, and a poll asks again. */
  delivered(pullId: number, count: number, rewinding: boolean): void {
    this.#answered(pullId);
    if (rewinding) this.#askAgain(pullId);
    else this.#refillBelow = count < BACKLOG ? 0 : Math.min(count, this.#prefetch) >>> 1;
  }

  /** A pull was answered with nothing: a poll resolves with null. During a rewind it asks again. */
  empty(pullId: number, rewinding: boolean): void {
    if (pullId === this.#refillId) this.#refillBelow = 0;
    this.#answered(pullId);
    if (rewinding) this.#askAgain(pullId);
    else this.#giveUp(pullId);
  }

  /** A new stream is open; at most `maxPulls` pulls may wait on it, 0 for the default. */
  resume(maxPulls: number): void {
    this.#maxPulls = maxPulls || MAX_PULLS_IN_FLIGHT;
    this.ask();
  }

  /** The stream is gone, and nothing will be answered on it. Waiters go on waiting. */
  reset(): void {
    this.#pulls.clear();
    this.#asked = 0;
    this.#refillBelow = 0;
    this.#refillId = 0;
    for (const waiter of this.#waiters) waiter.pullId = 0;
  }

  /** The end: waiters fail with `error`. */
  fail(error: unknown): void {
    for (const waiter of this.#waiters.drain()) waiter.fail(error);
  }

  /** What may be asked for now: messages, beside those that were asked for already. */
  get #credit(): number {
    return this.#prefetch - this.#settlements.positions.unsettled - this.#asked;
  }

  /**
   * Pulls of half the prefetch, so that one is under way while another is used up, and never of less: small
   * ones would be split again and again. For polls one refill at a time, for loops as many as there may be.
   */
  #askAhead(): void {
    const half = Math.max(1, this.#prefetch >>> 1);
    if (this.loops === 0) {
      if (this.#refillId === 0 && this.#credit >= half) this.#refillId = this.#pull(half, 0);
      return;
    }
    while (this.#credit >= half && this.#pulls.size < this.#maxPulls) this.#pull(half, LOOP_WAIT_MS);
  }

  #askFor(waiter: Waiter, first: boolean): void {
    const { deadline } = waiter;
    if (deadline === undefined && this.#connection.state === "standby") return;
    const waitMs = deadline === undefined ? 0 : Math.max(0, Math.ceil(deadline - this.#clock.now()));
    waiter.pullId = this.#pull(first ? Math.max(1, this.#credit) : 1, waitMs);
  }

  /** Sends a pull, and what is acknowledged with it; returns its id. */
  #pull(maxMessages: number, waitMs: number): number {
    const pullId = ++this.#lastPullId;
    this.#pulls.set(pullId, maxMessages);
    this.#asked += maxMessages;
    const pull = { pullId, maxMessages, maxBytes: PULL_BYTES, waitMs, ...this.#settlements.take() };
    this.#connection.send(encodeFrame(ConsumeRequest, { kind: { oneofKind: "pull", pull } }));
    return pullId;
  }

  /** Takes out the pull that was answered. Throws INTERNAL if there is none of that id. */
  #answered(pullId: number): void {
    const asked = this.#pulls.get(pullId);
    if (asked === undefined) throw protocolError(`pull ${pullId} was answered and not asked`);
    this.#pulls.delete(pullId);
    this.#asked -= asked;
    if (pullId === this.#refillId) this.#refillId = 0;
  }

  /** The waiter of this pull, if it still waits, has no pull now. */
  #askAgain(pullId: number): void {
    for (const waiter of this.#waiters) if (waiter.pullId === pullId) waiter.pullId = 0;
  }

  /** The waiter of this pull waits no more; if it was served meanwhile, nothing happens. */
  #giveUp(pullId: number): void {
    for (let index = 0; index < this.#waiters.length; index++) {
      const waiter = this.#waiters.at(index)!;
      if (waiter.pullId !== pullId) continue;
      this.#waiters.splice(index, 1);
      waiter.empty();
      return;
    }
  }
}
