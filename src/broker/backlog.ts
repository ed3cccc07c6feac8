/**
 * The stored messages of one topic: which of them are ready, delivered or held back.
 *
 * Every message of the log is in exactly one state:
 *   fresh     at or above `cursor`, never delivered
 *   leased    delivered to a consumer that has not settled it, or on its way to the dead letters; only that
 *             consumer's lease, or `Deaths`, names it
 *   returned  given back, to be delivered before anything fresh; the first may hold itself and all behind it back
 *   held back given back alone with a delay: others pass it
 * Always holds: `leased + returned.count + heldBack.count` is at most `log.count`; the rest is fresh.
 */
import type { Chunk } from "../log/chunk.ts";
import { Log } from "../log/log.ts";
import type { SlabPool } from "../log/slab-pool.ts";
import type { CounterName, Tally } from "./counters.ts";
import { Expiry } from "./inbound/expiry.ts";
import { HeldBack } from "./outbound/held-back.ts";
import type { DeliveredRun, Delivery } from "./ports.ts";
import { type OffsetRange, RangeSet } from "./range-set.ts";

/** Runs of one delivery, at most: where many messages were given back one by one, a pull must not take long. */
const MOST_RUNS = 1_024;
/** Entries that are carried out in one turn: nobody else is kept waiting by a million that are due together. */
const DUE_AT_ONCE = 1_024;
/** To look at so many offsets for leased ones takes as long as to carry out one entry. */
const LOOKS = 64;

/** How messages are given back. */
export interface Hold {
  /** They are held back until the clock shows this; 0: they are ready at once. */
  readonly until: number;
  /** Whether only they are held back, and not all that is behind them. */
  readonly alone: boolean;
  /** Of those held back alone: whether there is no room for a range more. See `RangeSet.add`. */
  readonly tight: boolean;
}

const READY: Hold = { until: 0, alone: true, tight: false };

type Taken = { runs: DeliveredRun[]; parts: Uint8Array[]; count: number; byteLength: number };

export class Backlog {
  readonly log: Log;
  readonly returned = new RangeSet();
  /** The lowest offset that was never delivered. */
  cursor = 0;
  /** Messages delivered and not settled. */
  leased = 0;
  // Made on first use: topics that use neither pay for neither.
  heldBack: HeldBack | null = null;
  expiry: Expiry | null = null;
  readonly #tally: Tally;

  constructor(pool: SlabPool, tally: Tally) {
    this.log = new Log(pool);
    this.#tally = tally;
  }

  /** Messages that a consumer could get now. */
  get ready(): number {
    return this.log.count - this.leased - (this.heldBack?.count ?? 0);
  }

  /** Bytes that it holds for messages, beside `pieces`. */
  get memory(): number {
    return this.log.memory + (this.expiry?.memory ?? 0);
  }

  /** Bytes that it holds for ranges of messages that were given back. */
  get pieces(): number {
    return this.returned.memory + (this.heldBack?.memory ?? 0);
  }

  /** When something here is due; Infinity: nothing is. */
  get nextDue(): number {
    const held = this.returned.first()?.due || Infinity;
    return Math.min(this.expiry?.nextDue ?? Infinity, this.heldBack?.nextDue ?? Infinity, held);
  }

  /** Until when the next message holds itself and all behind it back; 0: it does not. */
  get heldUntil(): number {
    return this.returned.first()?.due ?? 0;
  }

  /** Whether some of what is ready may have expired at `now`: what is left of it goes in later turns. */
  isSweeping(now: number): boolean {
    return this.expiry !== null && this.expiry.nextDue <= now && this.ready > 0;
  }

  /** Stores a checked batch until the clock shows `expires` (Infinity: for ever). `tight`: see `Log.append`. */
  append(batch: Uint8Array, count: number, expires: number, tight: boolean): void {
    const first = this.log.append(batch, count, this.log.nextOffset, tight);
    if (expires < Infinity) this.expire(first, count, expires);
  }

  /** The offsets [first, first + count) expire when the clock shows `due`. */
  expire(first: number, count: number, due: number): void {
    this.expiry ??= new Expiry(this.log);
    this.expiry.add(first, count, due);
  }

  /**
   * Takes ready messages for a consumer, oldest first: what was given back before what is fresh. At most
   * `maxMessages`, at most `maxBytes` but at least one. They are leased from then on. Null: none is ready, or
   * the first is held back at `now`.
   */
  take(maxMessages: number, maxBytes: number, now: number): Delivery | null {
    const taken: Taken = { runs: [], parts: [], count: 0, byteLength: 0 };
    while (taken.count < maxMessages && taken.runs.length < MOST_RUNS && this.ready > 0) {
      const room = maxBytes - taken.byteLength;
      if (taken.count > 0 && room <= 0) break;
      const back = this.returned.first();
      if (back !== undefined && back.due > now) break;
      const chunk = back
        ? this.log.read(back.first, maxMessages - taken.count, room, back.end)
        : this.log.read(this.cursor, maxMessages - taken.count, room);
      if (chunk === null || (taken.count > 0 && chunk.byteLength > room)) break;
      this.#lease(taken, chunk, back);
    }
    return taken.count === 0 ? null : taken;
  }

  /** Removes leased messages: their consumer is done with them. */
  done(first: number, count: number): void {
    this.leased -= count;
    this.expiry?.forget(first, first + count);
    this.log.release(first, count);
  }

  /**
   * Takes leased messages back, which were delivered `deliveries` times. What expired while it was leased is
   * gone.
   */
  giveBack(first: number, count: number, deliveries: number, hold = READY): void {
    this.leased -= count;
    const split = this.expiry?.splitLate(first, first + count);
    for (const { first: from, end } of split?.late ?? []) {
      this.#tally.count("expired", this.log.release(from, end - from));
    }
    for (const live of split?.alive ?? [{ first, end: first + count }]) {
      this.addReturned(live.first, live.end, deliveries, hold);
    }
  }

  /** Adds messages that are stored and in no state yet. */
  addReturned(first: number, end: number, deliveries: number, { until, alone, tight }: Hold): void {
    if (until > 0 && alone) {
      this.heldBack ??= new HeldBack();
      this.heldBack.add(first, end, deliveries, until, tight);
    } else this.returned.add(first, end, deliveries, until);
  }

  /** Drops what has expired at `now` and is not leased, some at a time; false if some is left. */
  dropExpired(now: number): boolean {
    const { expiry } = this;
    if (expiry === null) return true;
    for (let work = 0; work < DUE_AT_ONCE; work++) {
      const due = expiry.takeDue(now);
      if (due === undefined) return true;
      work += this.drop(due.first, due.end, "expired");
      if (this.leased === 0) continue;
      work += (due.end - due.first) / LOOKS + expiry.markLate(due.first, due.end);
    }
    return expiry.nextDue > now;
  }

  /** Drops what has expired at `now`, and readies what was held back until then, some at a time. */
  runDue(now: number): void {
    this.dropExpired(now);
    this.#endHold(now);
    for (let work = 0; work < DUE_AT_ONCE; work++) {
      const due = this.heldBack?.takeDue(now);
      if (due === undefined) return;
      this.returned.add(due.first, due.end, due.deliveries);
    }
  }

  /** The first that was given back may be delivered, if its time has come. */
  #endHold(now: number): void {
    const first = this.returned.first();
    if (first === undefined || first.due === 0 || first.due > now) return;
    for (const range of this.returned.remove(first.first, first.end)) {
      this.returned.add(range.first, range.end, range.deliveries);
    }
  }

  /** Drops the messages of the offsets [first, end) that no consumer holds; returns in how many pieces. */
  drop(first: number, end: number, counter: CounterName): number {
    // Offsets are not dense, and some of these may be gone already: the log says how many were there.
    const release = (from: number, to: number) => {
      this.expiry?.forget(from, to);
      this.#tally.count(counter, this.log.release(from, to - from));
    };
    const given = [...this.returned.remove(first, end), ...(this.heldBack?.remove(first, end) ?? [])];
    for (const range of given) release(range.first, range.end);
    const from = Math.max(first, this.cursor);
    if (from < end) release(from, end);
    return given.length;
  }

  /** Drops `most` of the oldest messages that no consumer holds; `dropping` sees each batch before it goes. */
  purge(most: number, dropping: (batch: Uint8Array) => void): number {
    let purged = 0;
    while (purged < most) {
      const oldest = this.#oldestUnheld(most - purged, Number.MAX_SAFE_INTEGER);
      if (oldest === null) break;
      for (const part of oldest.parts) dropping(part);
      this.#dropChunk(oldest, "purged");
      purged += oldest.count;
    }
    return purged;
  }

  /** Drops leased messages of the offsets [first, end); `dropping` as above. */
  purgeLeased(first: number, end: number, dropping: (batch: Uint8Array) => void): number {
    this.giveBack(first, end - first, 0);
    let purged = 0;
    for (const chunk of this.log.chunks(first, end)) {
      for (const part of chunk.parts) dropping(part);
      this.#dropChunk(chunk, "purged");
      purged += chunk.count;
    }
    return purged;
  }

  /** Drops some of the oldest messages that no consumer holds; returns how many bytes, 0 if there are none. */
  dropOldest(maxMessages: number, maxBytes: number): number {
    const oldest = this.#oldestUnheld(maxMessages, maxBytes);
    if (oldest === null) return 0;
    this.#dropChunk(oldest, "dropped");
    return oldest.byteLength;
  }

  /** Some of the oldest messages that no consumer holds. */
  #oldestUnheld(maxMessages: number, maxBytes: number): Chunk | null {
    const [returned, held] = [this.returned.first(), this.heldBack?.first()];
    const first =
      held === undefined || (returned !== undefined && returned.first < held.first) ? returned : held;
    return this.log.read(first?.first ?? this.cursor, maxMessages, maxBytes, first?.end);
  }

  #dropChunk({ runs }: Chunk, counter: CounterName): void {
    for (const { firstOffset, count } of runs) this.drop(firstOffset, firstOffset + count, counter);
  }

  /** Adds what was read, of `back` or fresh, to a delivery. */
  #lease(taken: Taken, chunk: Chunk, back: OffsetRange | undefined): void {
    const redelivered = back !== undefined;
    const deliveries = back?.deliveries ?? 0;
    for (const { firstOffset, count } of chunk.runs) {
      taken.runs.push({ firstOffset, count, redelivered, deliveries });
    }
    for (const part of chunk.parts) taken.parts.push(part);
    taken.count += chunk.count;
    taken.byteLength += chunk.byteLength;
    if (redelivered) this.returned.remove(back.first, chunk.nextOffset);
    else this.cursor = chunk.nextOffset;
    this.leased += chunk.count;
  }
}
