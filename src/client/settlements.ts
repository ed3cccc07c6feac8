/** Tells the server what became of its messages: acknowledgements together and soon, the rest at once. */
import { type ConsumeRequest, Outcome, type Pull, type Settle } from "../gen/tinymq/v1/queue.ts";
import type { Clock } from "../wire/clock.ts";
import { Lease, type PositionRange } from "./positions.ts";

/** Acknowledgements are told within 50 ms: this, and what a timer may be late. */
const ACK_DELAY_MS = 25;

/** Where frames go. */
export interface SettlementLink {
  readonly isOpen: boolean;
  send(request: ConsumeRequest): void;
}

/** Always holds: `lease` is of the current stream, and a timer runs where something is to be told. */
export class Settlements {
  /** What the current stream delivered. */
  lease = new Lease();
  readonly #link: SettlementLink;
  readonly #clock: Clock;
  /** Calls the timer off; undefined: none runs. */
  #cancelTimer: (() => void) | undefined;

  constructor(link: SettlementLink, clock: Clock) {
    this.#link = link;
    this.#clock = clock;
  }

  /** The stream is gone, and all that it delivered with it. */
  reset(): void {
    this.lease.ended = true;
    this.lease = new Lease();
  }

  /** Nothing will be told any more. */
  stop(): void {
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
  }

  /** `position` is done. A second time, or on a lease that ended, nothing happens. */
  done(lease: Lease, position: number): void {
    if (lease.ended) return;
    lease.done(position);
    if (this.#cancelTimer === undefined) this.#tellSoon();
  }

  /** Everything that was handed out is done. */
  doneAll(): void {
    this.lease.doneBelow(this.lease.handed);
    this.#tellSoon();
  }

  /** Settles `position` of the current lease alone, otherwise than as done. */
  settle(position: number, outcome: Outcome, reason: string, delayMs: number): void {
    // Before the lease knows: an acknowledgement that covers the position must come behind it.
    this.#link.send({
      kind: { oneofKind: "settle", settle: { position, count: 1, outcome, reason, delayMs } },
    });
    this.lease.settled(position, position + 1);
  }

  /** Tells what is acknowledged, now. */
  flush(): void {
    if (!this.#link.isOpen || !this.lease.isDirty) return;
    const { count, ranges } = this.lease.take();
    if (count !== undefined) this.#link.send({ kind: { oneofKind: "ack", ack: { count } } });
    for (const range of ranges) this.#link.send({ kind: { oneofKind: "settle", settle: doneRange(range) } });
  }

  /** Lets what is acknowledged ride on a pull. */
  ride(pull: Pull): void {
    if (!this.lease.isDirty) return;
    const { count, ranges } = this.lease.take();
    if (count !== undefined) pull.ack = { count };
    pull.settles = ranges.map(doneRange);
  }

  #tellSoon(): void {
    if (this.#cancelTimer !== undefined || !this.lease.isDirty) return;
    this.#cancelTimer = this.#clock.after(ACK_DELAY_MS, this.#due);
  }

  readonly #due = (): void => {
    this.#cancelTimer = undefined;
    this.flush();
  };
}

function doneRange(range: PositionRange): Settle {
  return { ...range, outcome: Outcome.DONE, reason: "", delayMs: 0 };
}
