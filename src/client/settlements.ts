/**
 * Tells the server what became of its messages, and tracks what it has confirmed. Acknowledgements are collected and
 * sent soon; retries and rejections are sent at once.
 */
import { OutcomeUnknown } from "../errors.ts";
import { type Ack, ConsumeRequest, type Handed, Outcome, type Settle } from "../gen/tinymq/v1/queue.ts";
import type { Clock } from "../wire/clock.ts";
import { MAX_FRAME_FIELDS } from "../wire/limits.ts";
import type { Connection } from "./connection.ts";
import { encodeFrame } from "./frame-codec.ts";
import { Positions } from "./positions.ts";

/** Acknowledgements are sent within 50 ms: this delay, and what the timer may be late. */
const ACK_DELAY_MS = 25;

/** What a pull carries, well below the fields that a frame may have; the rest have frames of their own. */
const MOST_SETTLES_IN_PULL = MAX_FRAME_FIELDS / 2;

/** What the server is not told yet. */
interface Unsent {
  ack: Ack | undefined;
  settles: Settle[];
  handed: Handed | undefined;
}

/** A `flush()` that waits until the server has settled `count` positions. */
interface Flush {
  readonly count: number;
  readonly resolve: () => void;
  readonly reject: (error: OutcomeUnknown) => void;
}

/** Always holds: `positions` are of the current stream; a timer runs while acknowledgements are unsent. */
export class Settlements {
  /** The positions of the current stream. */
  positions = new Positions();
  readonly #connection: Connection;
  readonly #clock: Clock;
  /** Cancels the timer; undefined: none runs. */
  #cancelTimer: (() => void) | undefined;
  #flushes: Flush[] = [];
  /** Settled messages that the server did not confirm before their stream ended, and no `flush()` reported yet. */
  #unconfirmed = 0;
  /** The closing of a connection, with acknowledgements that the server did not confirm before it. */
  #leaving: Promise<void> | undefined;

  constructor(connection: Connection, clock: Clock) {
    this.#connection = connection;
    this.#clock = clock;
  }

  /** The stream is gone: forgets what it delivered, and rejects pending flushes. */
  reset(): void {
    const { unconfirmed, flushes } = this.#forget();
    this.#lose(unconfirmed, flushes);
  }

  /**
   * The program closes the connection: forgets what the stream delivered. Flushes wait for `closed`, when it is known
   * whether the server has received everything.
   */
  leave(closed: Promise<void>): void {
    const { unconfirmed, flushes } = this.#forget();
    if (unconfirmed === 0) return;
    this.#leaving = closed.then(() => {
      this.#leaving = undefined;
      if (!this.#connection.wasAnswered) this.#lose(unconfirmed, flushes);
      else for (const { resolve } of flushes) resolve();
    });
  }

  /** Cancels the timer: nothing more will be sent. */
  stop(): void {
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
  }

  /** A message was handed to the program. For a redelivered one, which may crash it, the server is told at once. */
  handed(redelivered: boolean): void {
    if (redelivered) this.tell();
    else if (this.#cancelTimer === undefined) this.#tellSoon();
  }

  /** Acknowledges `position`. Can be called twice. If its stream has ended, the next `flush` rejects. */
  done(positions: Positions, position: number): void {
    if (positions.ended) return this.late(positions, position);
    positions.done(position);
    if (this.#cancelTimer === undefined) this.#tellSoon();
  }

  /** `position` was settled after its stream ended: it will be redelivered, and the next `flush` rejects. */
  late(positions: Positions, position: number): void {
    if (positions.isSettled(position)) return;
    positions.answer(position);
    this.#unconfirmed += 1;
  }

  /** Acknowledges everything that was handed to the program. */
  doneAll(): void {
    this.positions.doneBelow(this.positions.handed);
    this.#tellSoon();
  }

  /** Retries or rejects one position of the current stream. */
  settle(position: number, outcome: Outcome, reason: string, delayMs: number): void {
    // Sent first: an acknowledgement that covers the position must not arrive before it.
    this.#send({ position, count: 1, outcome, reason, delayMs });
    this.positions.answer(position);
  }

  /** Sends pending acknowledgements now. */
  tell(): void {
    if (!this.#connection.isOpen) return;
    const { ack, settles, handed } = this.#take();
    this.#tellHanded(handed?.count);
    if (ack !== undefined) {
      this.#connection.send(encodeFrame(ConsumeRequest, { kind: { oneofKind: "ack", ack } }));
    }
    for (const settle of settles) this.#send(settle);
  }

  /** Returns what is unsent, for a pull to carry; it then counts as sent. Sends what is too much for one. */
  forPull(): Unsent {
    const unsent = this.#take();
    for (const settle of unsent.settles.splice(MOST_SETTLES_IN_PULL)) this.#send(settle);
    return unsent;
  }

  /** Returns all that is unsent, which then counts as sent. */
  #take(): Unsent {
    if (!this.positions.isDirty) return { ack: undefined, settles: [], handed: undefined };
    const { count, ranges, handed } = this.positions.take();
    const done = { outcome: Outcome.DONE, reason: "", delayMs: 0 };
    const settles = ranges.map(({ from, to }) => ({ position: from, count: to - from, ...done }));
    return {
      ack: count === undefined ? undefined : { count },
      settles,
      handed: handed === undefined ? undefined : { count: handed },
    };
  }

  /**
   * Sends pending acknowledgements; resolves when the server has confirmed everything settled so far. Rejects with
   * `OutcomeUnknown` if a connection was lost before that, once for each loss.
   */
  flush(): Promise<void> {
    if (this.#leaving !== undefined) return this.#leaving.then(() => this.flush());
    this.tell();
    const lost = this.#unconfirmed;
    this.#unconfirmed = 0;
    if (lost > 0) return Promise.reject(outcomeUnknown(lost));
    const { answered, confirmed } = this.positions;
    if (confirmed >= answered) return Promise.resolve();
    return new Promise((resolve, reject) => this.#flushes.push({ count: answered, resolve, reject }));
  }

  /** The server has settled `count` positions of this stream. */
  confirmed(count: number): void {
    this.positions.confirmed = count;
    while (this.#flushes.length > 0 && this.#flushes[0]!.count <= count) this.#flushes.shift()!.resolve();
  }

  forgetLosses(): void {
    this.#unconfirmed = 0;
  }

  /** Begins anew; returns how many settled messages were unconfirmed, and who waits for that. */
  #forget(): { unconfirmed: number; flushes: Flush[] } {
    const { positions } = this;
    positions.ended = true;
    this.positions = new Positions();
    const flushes = this.#flushes;
    this.#flushes = [];
    return { unconfirmed: positions.answered - positions.confirmed, flushes };
  }

  /** What becomes of `count` settled messages is not known: pending flushes are told, or else the next one. */
  #lose(count: number, flushes: readonly Flush[]): void {
    if (flushes.length === 0) this.#unconfirmed += count;
    for (const { reject } of flushes) reject(outcomeUnknown(count));
  }

  #send(settle: Settle): void {
    this.#connection.send(encodeFrame(ConsumeRequest, { kind: { oneofKind: "settle", settle } }));
  }

  #tellHanded(count: number | undefined): void {
    if (count === undefined) return;
    this.#connection.send(encodeFrame(ConsumeRequest, { kind: { oneofKind: "handed", handed: { count } } }));
  }

  #tellSoon(): void {
    if (this.#cancelTimer !== undefined || !this.positions.isDirty) return;
    this.#cancelTimer = this.#clock.after(ACK_DELAY_MS, this.#due);
  }

  readonly #due = (): void => {
    this.#cancelTimer = undefined;
    this.tell();
  };
}

function outcomeUnknown(count: number): OutcomeUnknown {
  const what = count === 1 ? "1 message" : `${count} messages`;
  return new OutcomeUnknown(
    `the connection ended before the server confirmed that it settled ${what}: they may be delivered again`,
  );
}
