/** The consumers of one thread of a bench: they check and time what comes. */
import type { Consumer } from "../../src/index.ts";
import { type Board, Seen } from "./board.ts";
import { nowMicros } from "./clock.ts";
import { Histogram } from "./histogram.ts";
import type { Phase, Received } from "./protocol.ts";

export class Receiver {
  readonly #board: Board;
  #arrivals = new Arrivals(null);

  constructor(board: Board) {
    this.#board = board;
  }

  /** What comes from now on is of this phase. */
  begin(phase: Phase): void {
    this.#arrivals = new Arrivals(phase);
  }

  /** What came in this phase. */
  collect(): Omit<Received, "cpu"> {
    const { endedAt, distinct, duplicates, damaged, foreign, outOfOrder, latency } = this.#arrivals;
    return { endedAt, distinct, duplicates, damaged, foreign, outOfOrder, latency };
  }

  /** Takes and acknowledges all that comes; resolves when the consumer, number `number`, is closed. */
  async receive(consumer: Consumer<number>, number: number): Promise<void> {
    for await (const message of consumer) {
      if (this.#arrivals.add(message.id, message.body)) this.#board.countReceived(number);
    }
  }
}

/** What came in one phase. */
class Arrivals {
  endedAt = 0;
  distinct = 0;
  duplicates = 0;
  damaged = 0;
  foreign = 0;
  outOfOrder = 0;
  readonly latency = new Histogram();
  readonly #phase: Phase | null;
  readonly #seen: Seen | null;
  /** Of each producer, the highest index that came. */
  readonly #highest: Float64Array;

  /** Null: before the first phase. */
  constructor(phase: Phase | null) {
    this.#phase = phase;
    this.#seen = phase && new Seen(phase.count, phase.seen);
    this.#highest = new Float64Array(phase?.active ?? 0).fill(-1);
  }

  /** Takes one message; whether nobody had it before. `micros`: when it was sent, 0 if it does not say. */
  add(id: number, micros: number): boolean {
    const index = id - (this.#phase?.first ?? 0);
    if (this.#phase === null || this.#seen === null || index >= this.#phase.count) {
      this.foreign += 1;
      return false;
    }
    // Below the first are those of a phase that ended when it had all of its messages.
    if (index < 0 || !this.#seen.add(index)) {
      this.duplicates += 1;
      return false;
    }
    if (Number.isNaN(micros)) this.damaged += 1;
    const { active, unrecorded } = this.#phase;
    const producer = index % active;
    if (index < this.#highest[producer]!) this.outOfOrder += 1;
    else this.#highest[producer] = index;
    this.distinct += 1;
    this.endedAt = nowMicros();
    if (micros > 0 && index >= unrecorded * active) this.latency.record(this.endedAt - micros);
    return true;
  }
}
