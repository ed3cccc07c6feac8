/**
 * Tells the server what became of its messages (acknowledgements and what was handed out together and soon, the rest
 * at once), and hears what it has settled.
 */
import { OutcomeUnknown } from "../errors.ts";
import { type Ack, ConsumeRequest, type Handed, Outcome, type Settle } from "../gen/tinymq/v1/queue.ts";
import type { Clock } from "../wire/clock.ts";
import type { Connection } from "./connection.ts";
import { encodeFrame } from "./frame-codec.ts";
import { Positions } from "./positions.ts";

/** Acknowledgements are sent within 50 ms: this, and what a timer may be late. */
const ACK_DELAY_MS = 25;

/** Who waits until the server has settled so many positions. */
interface Flush {
  readonly count: number;
  readonly resolve: () => void;
  readonly reject: (error: OutcomeUnknown) => void;
}

/** Always holds: `positions` are of the current stream, and a timer runs where something is to be told. */
export class Settlements {
  /** What the current stream delivered. */
  positions = new Positions();
  readonly #connection: Connection;
  readonly #clock: Clock;
  /** Cancels the timer; undefined: none runs. */
  #cancelTimer: (() => void) | undefined;
  #flushes: Flush[] = [];
  /** Messages that were settled, on streams that ended before the server confirmed it; nobody was told yet. */
  #unconfirmed = 0;

  constructor(connection: Connection, clock: Clock) {
    this.#connection = connection;
    this.#clock = clock;
  }

  /** The stream is gone, and all that it delivered with it. */
  reset(): void {
    const { positions } = this;
    positions.ended = true;
    this.positions = new Positions();
    const lost = positions.answered - positions.confirmed;
    const flushes = this.#flushes;
    this.#flushes = [];
    if (flushes.length === 0) this.#unconfirmed += lost;
    for (const { reject } of flushes) reject(unconfirmed(lost));
  }

  /** Nothing will be told any more. */
  stop(): void {
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
  }

  /** A message was handed to the program. One that came again may end it: the server is told before it does. */
  handed(redelivered: boolean): void {
    if (redelivered) this.#tellHanded(this.positions.takeHanded());
    else if (this.#cancelTimer === undefined) this.#tellSoon();
  }

  /** `position` is done. A second time nothing happens; on a stream that ended, the next `flush` tells. */
  done(positions: Positions, position: number): void {
    if (positions.ended) return this.late(positions, position);
    positions.done(position);
    if (this.#cancelTimer === undefined) this.#tellSoon();
  }

  /** `position` was settled on a stream that had ended: it comes again, and the next `flush` tells. */
  late(positions: Positions, position: number): void {
    if (positions.isSettled(position)) return;
    positions.answer(position);
    this.#unconfirmed += 1;
  }

  /** Everything that was handed to the program is done. */
  doneAll(): void {
    this.positions.doneBelow(this.positions.handed);
    this.#tellSoon();
  }

  /** Settles one position of the current stream, otherwise than as done. */
  settle(position: number, outcome: Outcome, reason: string, delayMs: number): void {
    // Sent before `positions` knows: an acknowledgement that covers the position must come behind it.
    this.#send({ position, count: 1, outcome, reason, delayMs });
    this.positions.answer(position);
  }

  /** Sends what is acknowledged, now. */
  tell(): void {
    if (!this.#connection.isOpen) return;
    const { ack, settles, handed } = this.take();
    this.#tellHanded(handed?.count);
    if (ack !== undefined) {
      this.#connection.send(encodeFrame(ConsumeRequest, { kind: { oneofKind: "ack", ack } }));
    }
    for (const settle of settles) this.#send(settle);
  }

  /** What was not told yet, to be told by a pull, and counts as told. */
  take(): { ack: Ack | undefined; settles: Settle[]; handed: Handed | undefined } {
    if (!this.positions.isDirty) return { ack: undefined, settles: [], handed: undefined };
    const { count, ranges, handed } = this.positions.take();
    const done = { outcome: Outcome.DONE, reason: "", delayMs: 0 };
    return {
      ack: count === undefined ? undefined : { count },
      settles: ranges.map(({ from, to }) => ({ position: from, count: to - from, ...done })),
      handed: handed === undefined ? undefined : { count: handed },
    };
  }

  /**
   * Sends what is acknowledged; resolves when the server has settled all that was. Rejects with `OutcomeUnknown`
   * where a connection was lost before it said so, once for each loss.
   */
  flush(): Promise<void> {
    this.tell();
    const lost = this.#unconfirmed;
    this.#unconfirmed = 0;
    if (lost > 0) return Promise.reject(unconfirmed(lost));
    const { answered, confirmed } = this.positions;
    if (confirmed >= answered) return Promise.resolve();
    return new Promise((resolve, reject) => this.#flushes.push({ count: answered, resolve, reject }));
  }

  /** The server has settled so many positions of this stream. */
  confirmed(count: number): void {
    this.positions.confirmed = count;
    while (this.#flushes.length > 0 && this.#flushes[0]!.count <= count) this.#flushes.shift()!.resolve();
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

function unconfirmed(count: number): OutcomeUnknown {
  const what = count === 1 ? "1 message" : `${count} messages`;
  return new OutcomeUnknown(
    `the connection was lost before the server confirmed that it settled ${what}: they may be delivered again`,
  );
}
