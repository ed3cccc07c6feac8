/**
 * A consumer's side of the Consume protocol: who waits for a message, what was pulled, delivered and
 * settled. It knows nothing of bodies.
 *
 * Always holds: who waits is served in the order of waiting; nobody waits while the inbox has messages;
 * lease, pulls and inbox are of the current stream.
 */
import { TinyMQError, toTinyMQError } from "../errors.ts";
import { type Delivered, Outcome, type Pull } from "../gen/tinymq/v1/queue.ts";
import type { Clock } from "../wire/clock.ts";
import { MAX_PULLS_IN_FLIGHT, MiB } from "../wire/limits.ts";
import { Inbox } from "./inbox.ts";
import type { Lease } from "./positions.ts";
import { type PullRecord, Pulls } from "./pulls.ts";
import { type SettlementLink, Settlements } from "./settlements.ts";
import { type Waiter, Waiters } from "./waiters.ts";

/** How long a standing pull waits before it is asked again, in ms. */
const STANDING_WAIT_MS = 60_000;
/** At most so many bytes a pull: large messages must not multiply with `prefetch`. */
const PULL_BYTES = MiB;
/** A delivery of fewer messages shows no backlog that would be worth a refill. */
const BACKLOG = 16;

/** What the intake needs of its connection. */
export interface IntakeLink extends SettlementLink {
  readonly state: string;
  /** Ends the connection. */
  fail(error: TinyMQError): void;
}

export class Intake {
  readonly inbox = new Inbox();
  /** Loops that run: while there are any, pulls wait at the server for messages. */
  loops = 0;
  readonly #link: IntakeLink;
  readonly #clock: Clock;
  readonly #prefetch: number;
  readonly #shared: boolean;
  readonly #waiters = new Waiters();
  readonly #pulls = new Pulls();
  readonly #settlements: Settlements;
  /** Rewinds without an answer: deliveries are of before and are discarded. */
  #rewinding = 0;
  /** Below so many messages in the inbox polls ask for more, ahead of need. */
  #refillBelow = 0;
  #maxPulls = MAX_PULLS_IN_FLIGHT;

  /** `prefetch`: messages that may be unsettled here at once. `shared`: order does not count. */
  constructor(link: IntakeLink, clock: Clock, prefetch: number, shared: boolean) {
    this.#link = link;
    this.#clock = clock;
    this.#settlements = new Settlements(link, clock);
    this.#prefetch = prefetch;
    this.#shared = shared;
  }

  /** What the current stream delivered, and what became of it. */
  get lease(): Lease {
    return this.#settlements.lease;
  }

  /** Steps the inbox to the next message, unless others wait or none is there. Throws DATA_LOSS. */
  take(): boolean {
    if (this.#waiters.length > 0 || !this.#step()) return false;
    if (this.inbox.length < this.#refillBelow || this.loops > 0) this.#askAhead();
    return true;
  }

  /** Waits for a message. */
  wait(waiter: Waiter): void {
    this.#waiters.push(waiter);
    this.ask();
  }

  /** Sends the pulls that are due: of waiting polls, and of loops. */
  ask(): void {
    if (!this.#link.isOpen) return;
    if (this.loops > 0) this.#askAhead();
    let first = true;
    for (const waiter of this.#waiters) {
      if (this.#pulls.count >= this.#maxPulls) return;
      if (waiter.deadline !== Number.POSITIVE_INFINITY && waiter.pullId === 0) this.#askFor(waiter, first);
      first = false;
    }
  }

  /** A new stream is open; at most `maxPulls` pulls may wait on it. */
  resume(maxPulls: number): void {
    this.#maxPulls = maxPulls || MAX_PULLS_IN_FLIGHT;
    this.ask();
  }

  /** The stream is gone, and all that it delivered with it. Who waits goes on waiting. */
  reset(): void {
    this.#settlements.reset();
    this.#pulls.clear();
    this.inbox.clear();
    this.#rewinding = 0;
    this.#refillBelow = 0;
    this.#waiters.forgetPulls();
  }

  /** The end: who waits fails with `error`. */
  fail(error: TinyMQError): void {
    this.reset();
    this.#settlements.stop();
    for (const waiter of this.#waiters.drain()) waiter.fail(error);
  }

  /** Throws INTERNAL or DATA_LOSS where the server breaks the protocol. */
  delivered(delivery: Delivered): void {
    const { lease } = this;
    this.#answered(delivery.pullId);
    let count = 0;
    for (const run of delivery.runs) count += run.count;
    const first = delivery.firstPosition;
    if (count === 0) throw broken("a delivery without messages");
    if (first < lease.end) throw broken(`position ${first} was used before`);
    const end = first + count;
    lease.settled(lease.end, first);
    lease.end = end;
    if (this.#rewinding > 0) {
      lease.settled(first, end);
      lease.handed = end;
      this.#waiters.unanswered(delivery.pullId);
    } else {
      this.inbox.push(delivery, count);
      this.#refillBelow = count < BACKLOG ? 0 : Math.min(count, this.#prefetch) >>> 1;
    }
    while (this.#waiters.length > 0 && this.#step()) this.#waiters.shift()!.take();
    this.ask();
  }

  /** A pull is answered with nothing. */
  empty(pullId: number): void {
    const pull = this.#answered(pullId);
    if (pull.kind === "refill") this.#refillBelow = 0;
    if (this.#rewinding > 0) this.#waiters.unanswered(pullId);
    else if (pull.kind === "poll") this.#waiters.giveUp(pullId);
    this.ask();
  }

  rewound(): void {
    if (this.#rewinding === 0) throw broken("a rewind was answered that nobody asked for");
    this.#rewinding -= 1;
    this.ask();
  }

  /** `position` of `lease` is done. A second time, or on a lease that ended, nothing happens. */
  done(lease: Lease, position: number): void {
    const wasFull = lease.unsettled >= this.#prefetch;
    this.#settlements.done(lease, position);
    // A loop that held all it may have asks for more as soon as it may.
    if (wasFull && this.loops > 0) this.ask();
  }

  /** Everything that was handed out is done. */
  doneAll(): void {
    this.#settlements.doneAll();
    if (this.loops > 0) this.ask();
  }

  /** Gives `position` back: it is delivered again, after `delayMs`. */
  retry(lease: Lease, position: number, reason: string, delayMs: number): void {
    if (lease.ended || lease.isSettled(position)) return;
    // Order counts, unless the program works on a later message already: it must not lose that one.
    if (this.#shared || lease.hasUnsettled(position + 1, lease.handed)) {
      this.#settlements.settle(position, Outcome.RETRY, reason, delayMs);
      return;
    }
    this.flush();
    lease.settled(position, lease.end);
    lease.handed = lease.end;
    this.inbox.clear();
    this.#rewinding += 1;
    this.#link.send({ kind: { oneofKind: "rewind", rewind: { position, reason, delayMs } } });
  }

  /** Sends `position` to the dead-letter topic. */
  reject(lease: Lease, position: number, reason: string): void {
    if (lease.ended || lease.isSettled(position)) return;
    this.#settlements.settle(position, Outcome.REJECT, reason, 0);
  }

  /** Tells what is acknowledged, now. */
  flush(): void {
    this.#settlements.flush();
  }

  #step(): boolean {
    try {
      if (!this.inbox.next()) return false;
    } catch (thrown) {
      // What follows a delivery that cannot be read cannot be trusted either.
      const error = toTinyMQError(thrown);
      this.#link.fail(error);
      throw error;
    }
    this.lease.handed = this.inbox.position + 1;
    return true;
  }

  /** How many more messages may come, beside those that were asked for. */
  get #credit(): number {
    return this.#prefetch - this.lease.unsettled - this.#pulls.asked;
  }

  /**
   * Pulls of half the prefetch, so that one is under way while another is used up, and never of less: small
   * ones would be split again and again. For polls one refill at a time, for loops as many as there may be.
   */
  #askAhead(): void {
    const half = Math.max(1, this.#prefetch >>> 1);
    if (this.loops === 0) {
      if (this.#pulls.refills === 0 && this.#credit >= half)
        this.#pull({ maxMessages: half, kind: "refill" }, 0);
      return;
    }
    while (this.#credit >= half && this.#pulls.count < this.#maxPulls) {
      this.#pull({ maxMessages: half, kind: "standing" }, STANDING_WAIT_MS);
    }
  }

  #askFor(waiter: Waiter, first: boolean): void {
    if (waiter.deadline === undefined && this.#link.state === "standby") return;
    const waitMs =
      waiter.deadline === undefined ? 0 : Math.max(0, Math.ceil(waiter.deadline - this.#clock.now()));
    const maxMessages = first ? Math.max(1, this.#credit) : 1;
    waiter.pullId = this.#pull({ maxMessages, kind: "poll" }, waitMs);
  }

  #pull(record: PullRecord, waitMs: number): number {
    const pull: Pull = {
      pullId: this.#pulls.add(record),
      maxMessages: record.maxMessages,
      maxBytes: PULL_BYTES,
      waitMs,
      settles: [],
    };
    this.#settlements.ride(pull);
    this.#link.send({ kind: { oneofKind: "pull", pull } });
    return pull.pullId;
  }

  #answered(pullId: number): PullRecord {
    const record = this.#pulls.answer(pullId);
    if (record === undefined) throw broken(`pull ${pullId} was answered and not asked`);
    return record;
  }
}

function broken(what: string): TinyMQError {
  return new TinyMQError("INTERNAL", `the server broke the protocol: ${what}`);
}
