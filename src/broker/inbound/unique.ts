/**
 * The ids that a topic took lately, for producers that asked for `unique`.
 *
 * Always holds: `host.remembered.uniqueIds` counts every id in every topic's map.
 */
import { QueueFull } from "../../errors.ts";
import { concatBytes } from "../../wire/bytes.ts";
import { entryEnd, messageId } from "../../wire/scan.ts";
import type { TopicView } from "../host.ts";
import type { Timer } from "../timers.ts";

/** What one remembered id costs, in bytes, measured roughly. */
const ID_BYTES = 48;

/** A batch without the messages whose ids were taken. */
interface Filtered {
  readonly batch: Uint8Array;
  readonly count: number;
  readonly ids: readonly number[];
}

export class UniqueIds {
  readonly #topic: TopicView;
  /** To the time when it is forgotten, by the broker's clock. */
  readonly #ids = new Map<number, number>();
  #timer: Timer | null = null;

  constructor(topic: TopicView) {
    this.#topic = topic;
  }

  get count(): number {
    return this.#ids.size;
  }

  get memory(): number {
    return this.#ids.size * ID_BYTES;
  }

  /** What of a checked batch is new. Throws `QueueFull` if its ids cannot be remembered. */
  filter(batch: Uint8Array, count: number): Filtered {
    const now = this.#topic.host.clock.now();
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
    this.#makeRoom(ids.size);
    return { batch: kept.length === count ? batch : concatBytes(kept), count: kept.length, ids: [...ids] };
  }

  /** Remembers ids for `uniqueMs`. */
  remember(ids: readonly number[], uniqueMs: number): void {
    const until = this.#topic.host.clock.now() + uniqueMs;
    for (const id of ids) this.restore(id, until);
  }

  restore(id: number, until: number): void {
    // Taken out first: a map keeps the place of a key that is set again, and the oldest should stand first.
    if (this.#ids.delete(id)) this.#topic.host.remembered.uniqueIds -= 1;
    this.#ids.set(id, until);
    this.#topic.host.remembered.uniqueIds += 1;
    this.#arm();
  }

  /** The topic did not take them after all. */
  forget(ids: readonly number[]): void {
    for (const id of ids) if (this.#ids.delete(id)) this.#topic.host.remembered.uniqueIds -= 1;
    this.#topic.updateMemory();
  }

  items(): Iterable<[id: number, until: number]> {
    return this.#ids;
  }

  clear(): void {
    this.#topic.host.timers.cancel(this.#timer);
    this.#timer = null;
    this.#topic.host.remembered.uniqueIds -= this.#ids.size;
    this.#ids.clear();
  }

  #makeRoom(wanted: number): void {
    const { limits, remembered } = this.#topic.host;
    if (remembered.uniqueIds + wanted <= limits.maxUniqueIds) return;
    this.#sweep();
    if (remembered.uniqueIds + wanted <= limits.maxUniqueIds) return;
    throw new QueueFull(
      `the server remembers ${limits.maxUniqueIds} ids for unique and has no room for more: use a shorter time`,
    );
  }

  #sweep(): void {
    const now = this.#topic.host.clock.now();
    for (const [id, until] of this.#ids) {
      if (until > now) continue;
      this.#ids.delete(id);
      this.#topic.host.remembered.uniqueIds -= 1;
    }
    this.#topic.updateMemory();
    this.#topic.checkIdle();
  }

  /** Sweeps when the oldest is due, and a while later, so that a busy topic is not swept for each id. */
  #arm(): void {
    if (this.#timer !== null) return;
    const oldest = this.#ids.values().next();
    if (oldest.done === true) return;
    const due = Math.max(oldest.value, this.#topic.host.clock.now() + 1_000);
    this.#timer = this.#topic.host.timers.at(due, () => {
      this.#timer = null;
      this.#sweep();
      this.#arm();
    });
  }
}
