/**
 * Messages on their way to the dead letters, oldest first: leased by nobody any more, delivered to nobody. They
 * move some at a time, and wait where there is no room for what they grow by.
 */
import { Fifo } from "../../wire/fifo.ts";

/** The offsets [first, end), and how they died. */
export interface Dying {
  first: number;
  readonly end: number;
  readonly deliveries: number;
  readonly reason: string;
}

/** What one entry costs beside its reason, in bytes, measured roughly. */
const ENTRY_BYTES = 96;

export class Deaths {
  readonly #dying = new Fifo<Dying>();
  #reasonBytes = 0;
  /** When the next is moved, by the broker's clock; Infinity: there is none. */
  nextDue = Number.POSITIVE_INFINITY;

  get memory(): number {
    return this.#dying.length * ENTRY_BYTES + this.#reasonBytes;
  }

  first(): Dying | undefined {
    return this.#dying.first();
  }

  /** It moves at once, or once there is room for those before it. */
  add(dying: Dying, now: number): void {
    if (this.#dying.length === 0) this.nextDue = now;
    this.#dying.push(dying);
    this.#reasonBytes += 2 * dying.reason.length;
  }

  /** Takes the first, all of which has moved. */
  shift(): Dying | undefined {
    const dying = this.#dying.shift();
    if (dying !== undefined) this.#reasonBytes -= 2 * dying.reason.length;
    if (this.#dying.length === 0) this.nextDue = Number.POSITIVE_INFINITY;
    return dying;
  }

  [Symbol.iterator](): IterableIterator<Dying> {
    return this.#dying[Symbol.iterator]();
  }
}
