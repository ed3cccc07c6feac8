/**
 * What a consumer asks the server for: who waits for a message, which pulls have no answer yet, and what may be
 * asked for now. Every pull is made here.
 *
 * Always holds: waiters stand in the order of waiting; `#asked` is the sum of `maxMessages` over `#pulls`.
 */
import { ConsumeRequest } from "../gen/tinymq/v1/queue.ts";
import type { Clock } from "../wire/clock.ts";
import { Fifo } from "../wire/fifo.ts";
import { MAX_PULLS_IN_FLIGHT, MiB } from "../wire/limits.ts";
import { protocolError } from "./close-error.ts";
import type { Connection } from "./connection.ts";
import { encodeFrame } from "./frame-codec.ts";
import type { Settlements } from "./settlements.ts";

/** How long a standing pull waits before it is asked again, in ms. */
const STANDING_WAIT_MS = 60_000;
/** At most so many bytes a pull: large messages must not multiply with `prefetch`. */
const PULL_BYTES = MiB;
/** A delivery of fewer messages shows no backlog that would be worth a refill. */
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

/**
 * A pull without an answer. `poll`: for a poll that waits. `refill`: answered at once, ahead of need.
 * `standing`: waits at the server for messages, for loops.
 */
interface Asked {
  readonly maxMessages: number;
  readonly kind: "poll" | "refill" | "standing";
}

export class Demand {
  /** Loops that run: while there are any, pulls wait at the server for messages. */
  loops = 0;
  readonly #connection: Connection;
  readonly #settlements: Settlements;
  readonly #clock: Clock;
  readonly #prefetch: number;
  readonly #waiters = new Fifo<Waiter>();
  readonly #pulls = new Map<number, Asked>();
  #asked = 0;
  /** How many of `#pulls` are refills. */
  #refills = 0;
  /** Ids are not used again, not even on another stream. */
  #lastPullId = 0;
  #maxPulls = MAX_PULLS_IN_FLIGHT;
  /** Below so many messages in the inbox polls ask for more, ahead of need. */
  #refillBelow = 0;

  /** `prefetch`: maximum unsettled messages. */
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

  /** A pull was answered with `count` messages, which counts unless they are `discarded`. */
  delivered(pullId: number, count: number, discarded: boolean): void {
    this.#answered(pullId);
    if (discarded) this.#askAgain(pullId);
    else this.#refillBelow = count < BACKLOG ? 0 : Math.min(count, this.#prefetch) >>> 1;
  }

  /** A pull was answered with nothing: its poll waited in vain, unless that does not count since it is `discarded`. */
  empty(pullId: number, discarded: boolean): void {
    const { kind } = this.#answered(pullId);
    if (kind === "refill") this.#refillBelow = 0;
    if (discarded) this.#askAgain(pullId);
    else if (kind === "poll") this.#giveUp(pullId);
  }

  /** A new stream is open; at most `maxPulls` pulls may wait on it, 0 for the default. */
  resume(maxPulls: number): void {
    this.#maxPulls = maxPulls || MAX_PULLS_IN_FLIGHT;
    this.ask();
  }

  /** The stream is gone, and nothing will be answered. Who waits goes on waiting. */
  reset(): void {
    this.#pulls.clear();
    this.#asked = 0;
    this.#refills = 0;
    this.#refillBelow = 0;
    for (const waiter of this.#waiters) waiter.pullId = 0;
  }

  /** The end: who waits fails with `error`. */
  fail(error: unknown): void {
    for (const waiter of this.#waiters.drain()) waiter.fail(error);
  }

  /** How many more messages may come, beside those that were asked for. */
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
      if (this.#refills === 0 && this.#credit >= half) this.#pull({ maxMessages: half, kind: "refill" }, 0);
      return;
    }
    while (this.#credit >= half && this.#pulls.size < this.#maxPulls) {
      this.#pull({ maxMessages: half, kind: "standing" }, STANDING_WAIT_MS);
    }
  }

  #askFor(waiter: Waiter, first: boolean): void {
    if (waiter.deadline === undefined && this.#connection.state === "standby") return;
    const waitMs =
      waiter.deadline === undefined ? 0 : Math.max(0, Math.ceil(waiter.deadline - this.#clock.now()));
    const maxMessages = first ? Math.max(1, this.#credit) : 1;
    waiter.pullId = this.#pull({ maxMessages, kind: "poll" }, waitMs);
  }

  /** Sends a pull, and returns its id. */
  #pull(asked: Asked, waitMs: number): number {
    this.#lastPullId += 1;
    this.#pulls.set(this.#lastPullId, asked);
    this.#asked += asked.maxMessages;
    if (asked.kind === "refill") this.#refills += 1;
    const pull = {
      pullId: this.#lastPullId,
      maxMessages: asked.maxMessages,
      maxBytes: PULL_BYTES,
      waitMs,
      ...this.#settlements.take(),
    };
    this.#connection.send(encodeFrame(ConsumeRequest, { kind: { oneofKind: "pull", pull } }));
    return this.#lastPullId;
  }

  /** Takes out the pull that was answered. Throws INTERNAL if there is none of that id. */
  #answered(pullId: number): Asked {
    const asked = this.#pulls.get(pullId);
    if (asked === undefined) throw protocolError(`pull ${pullId} was answered and not asked`);
    this.#pulls.delete(pullId);
    this.#asked -= asked.maxMessages;
    if (asked.kind === "refill") this.#refills -= 1;
    return asked;
  }

  /** The waiter of this pull, if there is one, has none now. */
  #askAgain(pullId: number): void {
    for (const waiter of this.#waiters) if (waiter.pullId === pullId) waiter.pullId = 0;
  }

  /** The waiter of this pull waited in vain; if it was served meanwhile, nothing happens. */
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
