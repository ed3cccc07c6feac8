/** Tells the server what became of its messages: acknowledgements together and soon, the rest at once. */
import { type Ack, ConsumeRequest, Outcome, type Settle } from "../gen/tinymq/v1/queue.ts";
import type { Clock } from "../wire/clock.ts";
import type { Connection } from "./connection.ts";
import { encodeFrame } from "./frame-codec.ts";
import { Positions } from "./positions.ts";

/** Acknowledgements are sent within 50 ms: this, and what a timer may be late. */
const ACK_DELAY_MS = 25;

/** Always holds: `positions` are of the current stream, and a timer runs where something is to be told. */
export class Settlements {
  /** What the current stream delivered. */
  positions = new Positions();
  readonly #connection: Connection;
  readonly #clock: Clock;
  /** Cancels the timer; undefined: none runs. */
  #cancelTimer: (() => void) | undefined;

  constructor(connection: Connection, clock: Clock) {
    this.#connection = connection;
    this.#clock = clock;
  }

  /** The stream is gone, and all that it delivered with it. */
  reset(): void {
    this.positions.ended = true;
    this.positions = new Positions();
  }

  /** Nothing will be told any more. */
  stop(): void {
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
  }

  /** `position` is done. A second time, or on a stream that ended, nothing happens. */
  done(positions: Positions, position: number): void {
    if (positions.ended) return;
    positions.done(position);
    if (this.#cancelTimer === undefined) this.#tellSoon();
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
    this.positions.settled(position, position + 1);
  }

  /** Sends what is acknowledged, now. */
  flush(): void {
    if (!this.#connection.isOpen) return;
    const { ack, settles } = this.take();
    if (ack !== undefined) {
      this.#connection.send(encodeFrame(ConsumeRequest, { kind: { oneofKind: "ack", ack } }));
    }
    for (const settle of settles) this.#send(settle);
  }

  /** What is acknowledged and was not told yet, to be told by a pull, and counts as told. */
  take(): { ack: Ack | undefined; settles: Settle[] } {
    if (!this.positions.isDirty) return { ack: undefined, settles: [] };
    const { count, ranges } = this.positions.take();
    const ack = count === undefined ? undefined : { count };
    const done = { outcome: Outcome.DONE, reason: "", delayMs: 0 };
    return { ack, settles: ranges.map(({ from, to }) => ({ position: from, count: to - from, ...done })) };
  }

  #send(settle: Settle): void {
    this.#connection.send(encodeFrame(ConsumeRequest, { kind: { oneofKind: "settle", settle } }));
  }

  #tellSoon(): void {
    if (this.#cancelTimer !== undefined || !this.positions.isDirty) return;
    this.#cancelTimer = this.#clock.after(ACK_DELAY_MS, this.#due);
  }

  readonly #due = (): void => {
    this.#cancelTimer = undefined;
    this.flush();
  };
}
