/** A heap of things that are due at some time: the earliest first, of those due together the first added. */

export interface Due {
  readonly due: number;
}

export class DueHeap<T extends Due> {
  #entries: { item: T; order: number }[] = [];
  #order = 0;

  get length(): number {
    return this.#entries.length;
  }

  first(): T | undefined {
    return this.#entries[0]?.item;
  }

  push(item: T): void {
    this.#entries.push({ item, order: this.#order++ });
    let slot = this.#entries.length - 1;
    while (slot > 0) {
      const parent = (slot - 1) >>> 1;
      if (!this.#isBefore(slot, parent)) break;
      this.#swap(slot, parent);
      slot = parent;
    }
  }

  shift(): T | undefined {
    const first = this.#entries[0];
    const last = this.#entries.pop();
    if (first === undefined || last === undefined || first === last) return first?.item;
    this.#entries[0] = last;
    let slot = 0;
    for (;;) {
      const left = 2 * slot + 1;
      const right = left + 1;
      let next = slot;
      if (left < this.#entries.length && this.#isBefore(left, next)) next = left;
      if (right < this.#entries.length && this.#isBefore(right, next)) next = right;
      if (next === slot) return first.item;
      this.#swap(slot, next);
      slot = next;
    }
  }

  /** Keeps only what `keep` answers true for. */
  filter(keep: (item: T) => boolean): void {
    const kept = this.#entries.filter((entry) => keep(entry.item));
    kept.sort((one, other) => one.item.due - other.item.due || one.order - other.order);
    this.#entries = kept;
  }

  /** In order of due time. */
  items(): T[] {
    return [...this.#entries]
      .sort((one, other) => one.item.due - other.item.due || one.order - other.order)
      .map((entry) => entry.item);
  }

  #isBefore(slot: number, other: number): boolean {
    const one = this.#entries[slot]!;
    const two = this.#entries[other]!;
    return one.item.due < two.item.due || (one.item.due === two.item.due && one.order < two.order);
  }

  #swap(slot: number, other: number): void {
    const entry = this.#entries[slot]!;
    this.#entries[slot] = this.#entries[other]!;
    this.#entries[other] = entry;
  }
}
