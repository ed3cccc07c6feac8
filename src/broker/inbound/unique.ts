/**
 * The ids that a topic took lately, for producers that asked for `unique`.
 *
 * Always holds: `remembered.uniqueIds` counts every id in every topic's map.
 */
import { QueueFull } from "../../errors.ts";
import { concatBytes } from "../../wire/bytes.ts";
import { entryEnd, messageId } from "../../wire/scan.ts";
import type { Shared } from "../shared.ts";

/** What one remembered id costs, in bytes, measured roughly. */
const ID_BYTES = 48;
/** A busy topic is not swept for each id that runs out, but this much later, in ms. */
const SWEEP_EVERY_MS = 1_000;

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
  /** To the time when it is forgotten, by the broker's clock. */
  readonly #ids = new Map<number, number>();
  /** When ids that ran out are looked for; Infinity: there are no ids. */
  nextDue = Number.POSITIVE_INFINITY;

  constructor({ remembered, limits }: Shared) {
    this.#remembered = remembered;
    this.#maxIds = limits.maxUniqueIds;
  }

  get count(): number {
    return this.#ids.size;
  }

  get memory(): number {
    return this.#ids.size * ID_BYTES;
  }

  /** What of a checked batch is new at `now`. Throws `QueueFull` if its ids cannot be remembered. */
  filter(batch: Uint8Array, count: number, now: number): Filtered {
    const ids = new Set<number>();
    const kept: Uint8Array[] = [];
    for (let at = 0; at < batch.length; ) {
      const end = entryEnd(batch, at);
      const id = messageId(batch, at);
      if (!ids.has(id) && (this.#ids.get(id) ?? 0) <= now) {
        ids.add(id);
        kept.push(batch.subarray(at, end));
      }
      at = end;
    }
    this.#makeRoom(ids.size, now);
    return { batch: kept.length === count ? batch : concatBytes(kept), count: kept.length, ids: [...ids] };
  }

  /** Remembers an id until the clock shows `until`. */
  remember(id: number, until: number, now: number): void {
    // Taken out first: a map keeps the place of a key that is set again, and the oldest should stand first.
    if (this.#ids.delete(id)) this.#remembered.uniqueIds -= 1;
    this.#ids.set(id, until);
    this.#remembered.uniqueIds += 1;
    if (this.nextDue === Number.POSITIVE_INFINITY) this.#schedule(now);
  }

  /** Forgets the ids that have run out at `now`. */
  runDue(now: number): void {
    if (this.nextDue > now) return;
    this.#sweep(now);
    this.#schedule(now);
  }

  items(): Iterable<[id: number, until: number]> {
    return this.#ids;
  }

  clear(): void {
    this.#remembered.uniqueIds -= this.#ids.size;
    this.#ids.clear();
    this.nextDue = Number.POSITIVE_INFINITY;
  }

  #makeRoom(wanted: number, now: number): void {
    if (this.#remembered.uniqueIds + wanted <= this.#maxIds) return;
    this.#sweep(now);
    if (this.#remembered.uniqueIds + wanted <= this.#maxIds) return;
    throw new QueueFull(
      `the server remembers ${this.#maxIds} ids for unique and has no room for more: use a shorter time`,
    );
  }

  #sweep(now: number): void {
    for (const [id, until] of this.#ids) {
      if (until > now) continue;
      this.#ids.delete(id);
      this.#remembered.uniqueIds -= 1;
    }
  }

  /** Looks again when the oldest is due. */
  #schedule(now: number): void {
    const oldest = this.#ids.values().next();
    this.nextDue =
      oldest.done === true ? Number.POSITIVE_INFINITY : Math.max(oldest.value, now + SWEEP_EVERY_MS);
  }
}
