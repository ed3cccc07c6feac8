/**
 * The ids that a topic took lately, for producers that asked for `unique`.
 *
 * Always holds: `remembered.uniqueIds` counts every id in every topic's table; each id in the table has an entry in
 * the heap with the same time. An id that was taken anew leaves a stale entry, which is passed over.
 */
import { QueueFull } from "../../errors.ts";
import { concatBytes } from "../../wire/bytes.ts";
import { MAX_BATCH_MESSAGES } from "../../wire/limits.ts";
import { entryEnd, messageId } from "../../wire/scan.ts";
import type { Shared } from "../topic-host.ts";
import { IdHeap } from "./id-heap.ts";
import { IdTable } from "./id-table.ts";

/**
 * Ids that are forgotten in one turn: a million may run out together, and others must not wait for all. As many as a
 * batch may bring: so it finds room where enough have run out.
 */
const FORGOTTEN_AT_ONCE = MAX_BATCH_MESSAGES;

/** A batch without the messages whose ids were taken. */
interface Filtered {
  readonly batch: Uint8Array;
  readonly count: number;
  readonly ids: readonly number[];
}

export class UniqueIds {
  readonly #remembered: Shared["remembered"];
  /** Of all topics together. */
  readonly #maxIds: number;
  /** Each id with the time when it is forgotten, by the broker's clock. */
  readonly #ids = new IdTable();
  readonly #heap = new IdHeap();

  constructor({ remembered, limits }: Shared) {
    this.#remembered = remembered;
    this.#maxIds = limits.maxUniqueIds;
  }

  get count(): number {
    return this.#ids.size;
  }

  get memory(): number {
    return this.#ids.memory + this.#heap.memory;
  }

  /** When the first id runs out; Infinity: there are none. */
  get nextDue(): number {
    return this.#heap.nextDue;
  }

  /** What of a checked batch is new at `now`. Throws `QueueFull` if its ids cannot be remembered. */
  filter(batch: Uint8Array, count: number, now: number): Filtered {
    const ids = new Set<number>();
    const kept: Uint8Array[] = [];
    for (let at = 0; at < batch.length; ) {
      const end = entryEnd(batch, at);
      const id = messageId(batch, at);
      if (!ids.has(id) && !this.has(id, now)) {
        ids.add(id);
        kept.push(batch.subarray(at, end));
      }
      at = end;
    }
    if (ids.size > 0 && !this.hasRoom(ids.size, now)) {
      throw new QueueFull(
        `the server remembers ${this.#maxIds} ids for unique and has no room for more: use a shorter time`,
      );
    }
    return { batch: kept.length === count ? batch : concatBytes(kept), count: kept.length, ids: [...ids] };
  }

  /** Whether the topic took an id, and remembers it at `now`. */
  has(id: number, now: number): boolean {
    return (this.#ids.get(id) ?? 0) > now;
  }

  /** Whether so many ids more can be remembered, once those are forgotten that have run out at `now`. */
  hasRoom(wanted: number, now: number): boolean {
    if (this.#remembered.uniqueIds + wanted > this.#maxIds) this.runDue(now);
    return this.#remembered.uniqueIds + wanted <= this.#maxIds;
  }

  /** Remembers an id until the clock shows `until`. */
  remember(id: number, until: number): void {
    if (this.#ids.set(id, until)) this.#remembered.uniqueIds += 1;
    this.#heap.push(id, until);
  }

  /** Forgets an id: its message is gone, and was not consumed. */
  forget(id: number): void {
    if (this.#ids.delete(id)) this.#remembered.uniqueIds -= 1;
  }

  /** Forgets ids that have run out at `now`, some at a time; those left are due at once. */
  runDue(now: number): void {
    for (let forgotten = 0; forgotten < FORGOTTEN_AT_ONCE && this.#heap.nextDue <= now; forgotten++) {
      const { nextDue } = this.#heap;
      const id = this.#heap.shift();
      if (this.#ids.get(id) === nextDue) this.forget(id);
    }
  }

  items(): Iterable<[id: number, until: number]> {
    return this.#ids;
  }

  clear(): void {
    this.#remembered.uniqueIds -= this.#ids.size;
    this.#ids.clear();
    this.#heap.clear();
  }
}
