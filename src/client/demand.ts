/**
 * Decides when a consumer pulls, and how much: has the waiters, the unanswered pulls, and the limits of prefetching.
 * Only `ask()` sends pulls; it is called after every change.
 *
 * Always holds: waiters are in the order of waiting; `#asked` is the sum over `#pulls`; unsettled messages and those
 * asked for are together at most `prefetch` messages.
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

/** The longest that a pull waits at the server, in ms; if it is answered empty, another one is sent. */
const PULL_WAIT_MS = 60_000;
/** The same while the window is large, so that an idle consumer soon asks for less. */
const LARGE_PULL_WAIT_MS = 1_000;
/** Maximum bytes of one pull, so that large messages do not multiply with `prefetch`. */
const PULL_BYTES = MiB;
/** A delivery of fewer messages shows no backlog, and a pull ahead of need would be answered empty. */
const BACKLOG = 16;

/** Upper bound of unanswered pulls, whatever the server allows. */
const MOST_PULLS = 1_024;

/** What a consumer may hold unsettled. */
export interface Prefetch {
  readonly messages: number;
  /** Maximum bytes; one message is always allowed, however large it is. */
  readonly bytes: number;
  /** Whether to ask for fewer while other consumers could take them. */
  readonly adaptive: boolean;
}

export class Demand {
  /** Running loops; while there are any, pulls wait at the server for messages. */
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
  /** Ids are never reused, not even on another stream. */
  #lastPullId = 0;
  #maxPulls = MAX_PULLS_IN_FLIGHT;
  /** Bytes of the largest message that was delivered alone; any pull may be answered with another one. */
  #largest = 0;
  /** When the inbox has fewer messages than this, a pull is sent ahead of the next poll. */
  #refillBelow = 0;
  /** The pull that was sent ahead, 0 for none. */
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

  /** Whether there are waiters. */
  get waiting(): boolean {
    return this.#waiters.length > 0;
  }

  /** Adds a waiter. */
  wait(waiter: Waiter): void {
    this.#waiters.push(waiter);
    this.ask();
  }

  /** Removes and returns the oldest waiter, whose turn it is. */
  next(): Waiter | undefined {
    return this.#waiters.shift();
  }

  /** Removes a waiter that gave up. */
  leave(waiter: Waiter): void {
    this.#waiters.leave(waiter);
  }

  /** Stops pulling, and ends all waits: polls resolve with null, loops end. */
  stop(): void {
    this.#stopped = true;
    for (const waiter of this.#waiters.drain()) waiter.empty();
  }

  /** Sends the pulls that are due: for waiting polls, for loops, and ahead of polls. */
  ask(): void {
    if (this.#stopped || !this.#connection.isOpen) return;
    if (this.#waiters.length > 0) this.#askForPolls();
    if (this.loops > 0) this.#askForLoops();
    else if (this.#inbox.length < this.#refillBelow && this.#refillId === 0) this.#refill();
  }

  /** A pull was answered with `count` messages, of `bytes` in all. During a rewind they are discarded. */
  delivered(pullId: number, count: number, bytes: number, rewinding: boolean): void {
    const asked = this.#answered(pullId);
    if (count === 1) this.#largest = Math.max(this.#largest, bytes);
    if (count >= asked || bytes >= PULL_BYTES / 2) this.window?.filled(asked);
    if (!rewinding) this.#refillBelow = count < BACKLOG ? 0 : Math.min(count, this.#prefetch.messages) >>> 1;
  }

  /** The answer to a pull was handed out. If its poll still waits, it will pull again. */
  handedOut(pullId: number): void {
    const waiter = this.#waiters.ofPull(pullId);
    if (waiter !== undefined) waiter.pullId = 0;
  }

  /** A pull was answered empty. Its poll gets null; during a rewind, or if it may wait longer, it pulls again. */
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

  /** The stream is gone: forgets its pulls. Waiters keep waiting. */
  reset(): void {
    this.#pulls.clear();
    this.#asked = 0;
    this.#refillBelow = 0;
    this.#refillId = 0;
    this.#waiters.forgetPulls();
  }

  /** Fails all waiters with `error`. */
  fail(error: unknown): void {
    this.#waiters.fail(error);
  }

  /** Messages per pull: half of the limit, so that one pull is in flight while another is worked off. */
  get #batch(): number {
    return this.window?.batch ?? Math.max(1, this.#prefetch.messages >>> 1);
  }

  /** How many more messages may be asked for now. */
  get #room(): number {
    const { positions } = this.#settlements;
    const room = this.#messageRoom;
    if (room <= 0) return 0;
    const pull = Math.max(this.#pullBytes, this.#largest);
    const bytes = positions.heldBytes + this.#pulls.size * pull;
    if (bytes > 0 && bytes + pull > this.#prefetch.bytes) return 0;
    if (this.window === undefined) return room;
    // Waiters are always pulled for, however slow the program is.
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
   * Sends as many pulls of a whole batch as possible; partial ones would become smaller and smaller. One partial pull
   * is sent if nothing is here or on its way, since unsettled messages may never leave room for a whole batch.
   */
  #askForLoops(): void {
    const batch = this.#batch;
    // Fast path: this runs for every message, and mostly there is no room.
    if (this.#messageRoom < batch && (this.#asked > 0 || this.#inbox.length > 0)) return;
    for (let room = this.#room; room > 0 && this.#pulls.size < this.#maxPulls; room = this.#room) {
      if (room < batch && (this.#asked > 0 || this.#inbox.length > 0)) return;
      this.#pull(Math.min(room, batch), PULL_WAIT_MS);
    }
  }

  /** Each poll sends its own pull, so that the answer is not older than the poll. */
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
        // The program holds as many messages as it may, and none is on its way.
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

  /** Sends a pull that carries pending acknowledgements; returns its id. */
  #pull(maxMessages: number, wantedMs: number): number {
    const pullId = ++this.#lastPullId;
    this.#pulls.set(pullId, maxMessages);
    this.#asked += maxMessages;
    const waitMs = Math.min(wantedMs, this.#longestWaitMs);
    const pull = { pullId, maxMessages, maxBytes: this.#pullBytes, waitMs, ...this.#settlements.forPull() };
    this.#connection.send(encodeFrame(ConsumeRequest, { kind: { oneofKind: "pull", pull } }));
    return pullId;
  }

  /** Removes an answered pull, and returns how many messages it asked for. Throws INTERNAL for an unknown id. */
  #answered(pullId: number): number {
    const asked = this.#pulls.get(pullId);
    if (asked === undefined) throw protocolError(`pull ${pullId} was answered but not pending`);
    this.#pulls.delete(pullId);
    this.#asked -= asked;
    if (pullId === this.#refillId) this.#refillId = 0;
    return asked;
  }
}
