/**
 * How many bytes of the messages that were delivered are not settled. A delivery's bytes count in equal shares for
 * its messages: nobody measures each of them, and when all are settled nothing is left.
 */
import { Fifo } from "../wire/fifo.ts";

/** What is left of one delivery: of the positions from `from` on and below `to`. */
interface Share {
  readonly from: number;
  readonly to: number;
  bytes: number;
  messages: number;
}

/** Always holds: `bytes` is the sum over `#shares`, whose positions ascend. */
export class HeldBytes {
  bytes = 0;
  readonly #shares = new Fifo<Share>();

  /** The positions from `from` on and below `to` came, in so many bytes. MUST be above all that came before. */
  add(from: number, to: number, bytes: number): void {
    this.#shares.push({ from, to, bytes, messages: to - from });
    this.bytes += bytes;
  }

  /** The positions from `from` on and below `to` are settled. MUST be called once for each. */
  release(from: number, to: number): void {
    let index = this.#indexOf(from);
    for (let position = from; position < to; index++) {
      const share = this.#shares.at(index);
      if (share === undefined) break;
      const end = Math.min(to, share.to);
      if (end > share.from) this.#take(share, end - Math.max(position, share.from));
      position = share.to;
    }
    while (this.#shares.first()?.messages === 0) this.#shares.shift();
  }

  #take(share: Share, messages: number): void {
    const bytes =
      messages === share.messages ? share.bytes : Math.floor((share.bytes * messages) / share.messages);
    share.messages -= messages;
    share.bytes -= bytes;
    this.bytes -= bytes;
  }

  /** The index of the first delivery that ends above `position`. */
  #indexOf(position: number): number {
    const first = this.#shares.first();
    // What is settled in order.
    if (first === undefined || position < first.to) return 0;
    let low = 1;
    let high = this.#shares.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#shares.at(middle)!.to <= position) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
