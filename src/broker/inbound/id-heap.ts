/**
 * Ids by the time when they are due, the earliest first: two numbers each, side by side in one array, since
 * there may be a million of them.
 *
 * Always holds: no id is due before its parent in the heap.
 */
const FIRST_SIZE = 16;
const EMPTY = new Float64Array(0);

export class IdHeap {
  /** Of the entry in slot `s`: when it is due at 2s, its id at 2s + 1. */
  #entries = EMPTY;
  #length = 0;

  get length(): number {
    return this.#length;
  }

  /** Bytes. */
  get memory(): number {
    return this.#entries.byteLength;
  }

  /** When the first is due; Infinity where there is none. */
  get nextDue(): number {
    return this.#length === 0 ? Number.POSITIVE_INFINITY : this.#entries[0]!;
  }

  push(id: number, due: number): void {
    if (2 * this.#length === this.#entries.length) this.#resize(Math.max(FIRST_SIZE, 2 * this.#length));
    const entries = this.#entries;
    let slot = this.#length++;
    while (slot > 0) {
      const parent = (slot - 1) >>> 1;
      if (entries[2 * parent]! <= due) break;
      entries.copyWithin(2 * slot, 2 * parent, 2 * parent + 2);
      slot = parent;
    }
    entries[2 * slot] = due;
    entries[2 * slot + 1] = id;
  }

  /** Takes the first id; there must be one. */
  shift(): number {
    const entries = this.#entries;
    const first = entries[1]!;
    const length = --this.#length;
    const due = entries[2 * length]!;
    const id = entries[2 * length + 1]!;
    let slot = 0;
    for (let child = 1; child < length; child = 2 * slot + 1) {
      if (child + 1 < length && entries[2 * child + 2]! < entries[2 * child]!) child += 1;
      if (due <= entries[2 * child]!) break;
      entries.copyWithin(2 * slot, 2 * child, 2 * child + 2);
      slot = child;
    }
    entries[2 * slot] = due;
    entries[2 * slot + 1] = id;
    if (length === 0) this.clear();
    else if (length > FIRST_SIZE && 8 * length < entries.length) this.#resize(entries.length / 4);
    return first;
  }

  clear(): void {
    this.#entries = EMPTY;
    this.#length = 0;
  }

  /** Makes room for `size` entries in all. */
  #resize(size: number): void {
    const entries = new Float64Array(2 * size);
    entries.set(this.#entries.subarray(0, 2 * this.#length));
    this.#entries = entries;
  }
}
