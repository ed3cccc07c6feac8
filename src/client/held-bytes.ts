/**
 * The bytes of unsettled messages. The bytes of a delivery are shared equally among its messages, which saves
 * measuring each of them; once all are settled, nothing is left.
 */
import { Fifo } from "../wire/fifo.ts";

/** What is left of one delivery, which had the positions [from, to). */
interface Share {
  readonly from: number;
  readonly to: number;
  /** Bytes of each message; `rest` is released with the last one. */
  readonly each: number;
  readonly rest: number;
  messages: number;
}

/** Always holds: `bytes` is the sum over `#shares`, whose positions ascend. */
export class HeldBytes {
  bytes = 0;
  readonly #shares = new Fifo<Share>();

  /** Adds the positions [from, to), of `bytes` in all. They MUST be above all that were added before. */
  add(from: number, to: number, bytes: number): void {
    const messages = to - from;
    const each = Math.floor(bytes / messages);
    this.#shares.push({ from, to, each, rest: bytes - each * messages, messages });
    this.bytes += bytes;
  }

  /** The positions [from, to) are settled. MUST be called once for each. */
  release(from: number, to: number): void {
    const first = this.#shares.first();
    if (first !== undefined && to <= first.to) this.#take(first, to - from);
    else this.#releaseFrom(from, to);
    while (this.#shares.first()?.messages === 0) this.#shares.shift();
  }

  #releaseFrom(from: number, to: number): void {
    let position = from;
    for (let index = this.#indexOf(from); position < to; index++) {
      const share = this.#shares.at(index)!;
      this.#take(share, Math.min(to, share.to) - position);
      position = share.to;
    }
  }

  #take(share: Share, messages: number): void {
    share.messages -= messages;
    this.bytes -= share.each * messages;
    if (share.messages === 0) this.bytes -= share.rest;
  }

  /** The index of the first delivery that ends above `position`. */
  #indexOf(position: number): number {
    let low = 0;
    let high = this.#shares.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#shares.at(middle)!.to <= position) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
