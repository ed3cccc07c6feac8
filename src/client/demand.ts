/**
 * What a consumer asks the server for: who waits for a message, which pulls have no answer yet, and what may be
 * asked for now. Every pull is made by `ask()`, which is called after every change.
 *
 * Always holds: waiters stand in the order of waiting; `#asked` is the sum over `#pulls`; what is unsettled and what
 * is asked for are together at most `prefetch` messages.
 */
import { ConsumeRequest } from "../gen/tinymq/v1/queue.ts";
import type { Clock } from "../wire/clock.ts";
import { MAX_PULLS_IN_FLIGHT, MiB } from "../wire/limits.ts";
import { protocolError } from "./close-error.ts";
import type { Connection } from "./connection.ts";
import { encodeFrame } from "./frame-codec.ts";
import type { Inbox } from "./inbox.ts";
import type { Settlements } from "./settlements.ts";
import { type Waiter, Waiters } from "./waiters.ts";
import { Window } from "./window.ts";

/** How long a pull waits at the server at most before it is sent again, in ms. */
const PULL_WAIT_MS = 60_000;
/** While much may wait here: an idle consumer asks for less soon. */
const LARGE_PULL_WAIT_MS = 1_000;
/** Maximum bytes of one pull, so that large messages do not multiply with `prefetch`. */
const PULL_BYTES = MiB;
/** A delivery of fewer messages shows no backlog: asking ahead of need would only be answered with nothing. */
const BACKLOG = 16;

/** However many a server allows. */
const MOST_PULLS = 1_024;

/** What a consumer may hold unsettled. */
export interface Prefetch {
  readonly messages: number;
  /** Of message after message; one is always taken, however large it is. */
  readonly bytes: number;
  /** Whether fewer are asked for while others could take them. */
  readonly adaptive: boolean;
}

export class Demand {
  /** Loops that run: while there are any, pulls wait at the server for messages. */
  loops = 0;
  readonly window: Window | undefined;
  readonly #connection: Connection;
  readonly #settlements: Settlements;
  readonly #inbox: Inbox;
  readonly #clock: Clock;
  readonly #prefetch: Prefetch;
  readonly #waiters: Waiters;
  /** How many messages each pull without an answer asked for, by its id. */
  readonly #pulls = new Map<number, number>();
  #asked = 0;
  #stopped = false;
  /** Ids are not used again, not even on another stream. */
  #lastPullId = 0;
  #maxPulls = MAX_PULLS_IN_FLIGHT;
  /** Bytes of the largest message that came alone; a pull may be answered with one. */
  #largest = 0;
  /** Below so many messages in the inbox polls ask for more, ahead of need. */
  #refillBelow = 0;
  /** The pull that does so, 0 for none. */
  #refillId = 0;

  constructor(
    connection: Connection,
    settlements: Settlements,
    inbox: Inbox,
    clock: Clock,
    prefetch: Prefetch,
  ) {
    this.#connection = connection;
    this.#settlements = settlements;
    this.#inbox = inbox;
    this.#clock = clock;
    this.#prefetch = prefetch;
    this.#waiters = new Waiters(connection, clock, () => this.ask());
    this.window = prefetch.adaptive ? new Window(clock) : undefined;
  }

  /** Whether anybody waits for a message. */
  get waiting(): boolean {
    return this.#waiters.length > 0;
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

  /** Waits no more, without a message. */
  leave(waiter: Waiter): void {
    this.#waiters.leave(waiter);
  }

  /** Nothing is asked for any more, and nobody waits: polls have null, loops end. */
  stop(): void {
    this.#stopped = true;
    for (const waiter of this.#waiters.drain()) waiter.empty();
  }

  /** Sends the pulls that are due: of waiting polls, of loops, and ahead of need. */
  ask(): void {
    if (this.#stopped || !this.#connection.isOpen) return;
    if (this.#waiters.length > 0) this.#askForPolls();
    if (this.loops > 0) this.#askForLoops();
    else if (this.#inbox.length < this.#refillBelow && this.#refillId === 0) this.#refill();
  }

  /** A pull was answered with `count` messages in so many bytes. During a rewind they are discarded. */
  delivered(pullId: number, count: number, bytes: number, rewinding: boolean): void {
    const asked = this.#answered(pullId);
    if (count === 1) this.#largest = Math.max(this.#largest, bytes);
    if (count >= asked || bytes >= PULL_BYTES / 2) this.window?.filled(asked);
    if (!rewinding) this.#refillBelow = count < BACKLOG ? 0 : Math.min(count, this.#prefetch.messages) >>> 1;
  }

  /** What came has been handed out. A poll that got nothing of its own pull's answer asks again. */
  handedOut(pullId: number): void {
    const waiter = this.#waiters.ofPull(pullId);
    if (waiter !== undefined) waiter.pullId = 0;
  }

  /** A pull was answered with nothing: a poll resolves with null. During a rewind it asks again. */
  empty(pullId: number, rewinding: boolean): void {
    if (pullId === this.#refillId) this.#refillBelow = 0;
    this.#answered(pullId);
    if (!rewinding) this.window?.idle();
    const waiter = this.#waiters.ofPull(pullId);
    if (waiter === undefined) return;
    waiter.pullId = 0;
    if (rewinding || waiter.asksAgain) return;
    this.#waiters.leave(waiter);
    waiter.empty();
  }

  /** A new stream is open; at most `maxPulls` pulls may wait on it, 0 for the default. */
  resume(maxPulls: number): void {
    this.#maxPulls = Math.min(maxPulls || MAX_PULLS_IN_FLIGHT, MOST_PULLS);
    this.ask();
  }

  /** The stream is gone, and nothing will be answered on it. Waiters go on waiting. */
  reset(): void {
    this.#pulls.clear();
    this.#asked = 0;
    this.#refillBelow = 0;
    this.#refillId = 0;
    this.#waiters.forgetPulls();
  }

  /** The end: waiters fail with `error`. */
  fail(error: unknown): void {
    this.#waiters.fail(error);
  }

  /** What one pull asks for: half of what may be here, so that one is under way while another is used up. */
  get #batch(): number {
    return this.window?.batch ?? Math.max(1, this.#prefetch.messages >>> 1);
  }

  /** How many messages may be asked for now, beside those that were. */
  get #room(): number {
    const { positions } = this.#settlements;
    const room = this.#messageRoom;
    if (room <= 0) return 0;
    const pull = Math.max(this.#pullBytes, this.#largest);
    const bytes = positions.heldBytes + this.#pulls.size * pull;
    if (bytes > 0 && bytes + pull > this.#prefetch.bytes) return 0;
    if (this.window === undefined) return room;
    // Who waits is asked for, however long the program takes.
    const here = Math.max(this.window.size - this.#inbox.length, this.#waiters.length);
    return Math.max(0, Math.min(room, here - this.#asked));
  }

  get #messageRoom(): number {
    return this.#prefetch.messages - this.#settlements.positions.unsettled - this.#asked;
  }

  get #pullBytes(): number {
    return Math.max(1, Math.min(PULL_BYTES, Math.floor(this.#prefetch.bytes / 2)));
  }

  /**
   * As many pulls of a whole batch as there may be: small ones would be split again and again. One of less where
   * nothing is here and nothing under way: what the program works on may never leave room for more.
   */
  #askForLoops(): void {
    const batch = this.#batch;
    // At each message: most find that there is no room.
    if (this.#messageRoom < batch && (this.#asked > 0 || this.#inbox.length > 0)) return;
    for (let room = this.#room; room > 0 && this.#pulls.size < this.#maxPulls; room = this.#room) {
      if (room < batch && (this.#asked > 0 || this.#inbox.length > 0)) return;
      this.#pull(Math.min(room, batch), PULL_WAIT_MS);
    }
  }

  /** Each poll has a pull of its own, sent after it began: what that is answered with is news. */
  #askForPolls(): void {
    for (let index = 0; index < this.#waiters.length; index++) {
      const waiter = this.#waiters.at(index)!;
      if (waiter.isLoop || waiter.pullId !== 0) continue;
      if (this.#pulls.size >= this.#maxPulls) return;
      if (!waiter.isPatient && this.#connection.state === "standby") continue;
      const room = this.#room;
      if (room > 0) {
        this.#askFor(waiter, index === 0 ? Math.min(room, this.#batch) : 1);
      } else if (!waiter.isPatient && this.#asked === 0) {
        // The program holds as many as it may, and nothing is on its way.
        this.#waiters.leave(waiter);
        index -= 1;
        waiter.empty();
      }
    }
  }

  #askFor(waiter: Waiter, messages: number): void {
    const waitMs = waiter.isPatient ? Math.max(1, Math.ceil(waiter.deadline - this.#clock.now())) : 0;
    waiter.asksAgain = waitMs > this.#longestWaitMs;
    waiter.pullId = this.#pull(messages, waitMs);
  }

  #refill(): void {
    const batch = this.#batch;
    if (this.#room >= batch) this.#refillId = this.#pull(batch, 0);
  }

  get #longestWaitMs(): number {
    return this.window?.isLarge ? LARGE_PULL_WAIT_MS : PULL_WAIT_MS;
  }

  /** Sends a pull, and what is acknowledged with it; returns its id. */
  #pull(maxMessages: number, wantedMs: number): number {
    const pullId = ++this.#lastPullId;
    this.#pulls.set(pullId, maxMessages);
    this.#asked += maxMessages;
    const waitMs = Math.min(wantedMs, this.#longestWaitMs);
    const pull = { pullId, maxMessages, maxBytes: this.#pullBytes, waitMs, ...this.#settlements.take() };
    this.#connection.send(encodeFrame(ConsumeRequest, { kind: { oneofKind: "pull", pull } }));
    return pullId;
  }

  /** Takes out the pull that was answered; returns what it asked for. Throws INTERNAL if there is none of that id. */
  #answered(pullId: number): number {
    const asked = this.#pulls.get(pullId);
    if (asked === undefined) throw protocolError(`pull ${pullId} was answered and not asked`);
    this.#pulls.delete(pullId);
    this.#asked -= asked;
    if (pullId === this.#refillId) this.#refillId = 0;
    return asked;
  }
}
