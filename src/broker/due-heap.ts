/**
 * A heap of entries that are due at some time: the earliest first, and of those due together the first added.
 *
 * Always holds: `entries[e.slot] === e` for every entry in the heap, and none is due before its parent.
 */

/** An entry of a heap. Only the heap writes `order` and `slot`. */
export interface Due {
  /** By the broker's clock, in ms. */
  readonly due: number;
  /** Which of those due together was added first. */
  order: number;
  /** Its place in the heap; −1 when it is in none. */
  slot: number;
}

/** What one entry costs, in bytes, measured roughly. */
const ENTRY_BYTES = 96;

export class DueHeap<T extends Due> {
  #entries: T[] = [];
  #order = 0;

  get length(): number {
    return this.#entries.length;
  }

  /** Bytes of its entries. */
  get memory(): number {
    return this.#entries.length * ENTRY_BYTES;
  }

  /** How many entries were added so far. */
  get added(): number {
    return this.#order;
  }

  first(): T | undefined {
    return this.#entries[0];
  }

  /** The entry at a place below `length`, in no particular order. */
  at(slot: number): T | undefined {
    return this.#entries[slot];
  }

  /** When the first is due; Infinity where there is none. */
  get nextDue(): number {
    return this.#entries[0]?.due ?? Number.POSITIVE_INFINITY;
  }

  push(entry: T): void {
    entry.order = this.#order++;
    this.#place(entry, this.#entries.length);
    this.#rise(entry);
  }

  shift(): T | undefined {
    const first = this.#entries[0];
    if (first !== undefined) this.remove(first);
    return first;
  }

  /** Does nothing to an entry that is not in the heap. */
  remove(entry: T): void {
    if (entry.slot < 0) return;
    const last = this.#entries.pop()!;
    if (last !== entry) {
      this.#place(last, entry.slot);
      this.#rise(last);
      this.#sink(last);
    }
    entry.slot = -1;
  }

  clear(): void {
    for (const entry of this.#entries) entry.slot = -1;
    this.#entries = [];
  }

  /** All entries, the earliest first. */
  sorted(): T[] {
    return [...this.#entries].sort(byDue);
  }

  #rise(entry: T): void {
    while (entry.slot > 0) {
      const parent = this.#entries[(entry.slot - 1) >>> 1]!;
      if (byDue(parent, entry) < 0) return;
      this.#swap(entry, parent);
    }
  }

  #sink(entry: T): void {
    for (;;) {
      const left = this.#entries[2 * entry.slot + 1];
      const right = this.#entries[2 * entry.slot + 2];
      const child = right !== undefined && byDue(right, left!) < 0 ? right : left;
      if (child === undefined || byDue(entry, child) < 0) return;
      this.#swap(child, entry);
    }
  }

  #swap(one: T, other: T): void {
    const { slot } = one;
    this.#place(one, other.slot);
    this.#place(other, slot);
  }

  #place(entry: T, slot: number): void {
    entry.slot = slot;
    this.#entries[slot] = entry;
  }
}

/** Below 0 where `one` comes first. No two entries of a heap have the same order. */
function byDue(one: Due, other: Due): number {
  return one.due - other.due || one.order - other.order;
}
