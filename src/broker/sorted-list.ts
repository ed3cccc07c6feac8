/**
 * Items in the order of their keys, which are numbers. They lie in blocks, so that adding or removing one in the
 * middle moves at most a block of others: there may be hundreds of thousands.
 *
 * Always holds: no two items have the same key, and a key does not change while its item is here, unless it
 * stays between those of its neighbours; no block is empty.
 */
const BLOCK = 256;

export class SortedList<T> {
  readonly #key: (item: T) => number;
  #blocks: T[][] = [];
  /** Items of the first block before this place were taken. */
  #head = 0;
  #length = 0;

  constructor(key: (item: T) => number) {
    this.#key = key;
  }

  get length(): number {
    return this.#length;
  }

  first(): T | undefined {
    return this.#blocks[0]?.[this.#head];
  }

  last(): T | undefined {
    return this.#blocks.at(-1)?.at(-1);
  }

  /** The last item whose key is at most `key`. */
  floor(key: number): T | undefined {
    const block = this.#blockOf(key);
    if (block < 0) return undefined;
    const items = this.#blocks[block]!;
    return items[this.#indexAbove(items, block, key) - 1];
  }

  /** The first item whose key is above `key`. */
  above(key: number): T | undefined {
    const block = Math.max(0, this.#blockOf(key));
    const items = this.#blocks[block];
    if (items === undefined) return undefined;
    const index = this.#indexAbove(items, block, key);
    return index < items.length ? items[index] : this.#blocks[block + 1]?.[0];
  }

  /** The first item that ends above `key`, where items are disjoint ranges, and `endOf` tells where they end. */
  endingAbove(key: number, endOf: (item: T) => number): T | undefined {
    const before = this.floor(key);
    return before !== undefined && endOf(before) > key ? before : this.above(key);
  }

  add(item: T): void {
    const key = this.#key(item);
    const last = this.last();
    this.#length += 1;
    if (last === undefined || this.#key(last) < key) {
      this.#append(item);
      return;
    }
    const block = Math.max(0, this.#blockOf(key));
    const items = this.#blocks[block]!;
    if (block === 0 && this.#head > 0) this.#dropHead();
    items.splice(this.#indexAbove(items, block, key), 0, item);
    if (items.length > 2 * BLOCK) this.#blocks.splice(block + 1, 0, items.splice(BLOCK));
  }

  /** Removes an item, which is here. */
  remove(item: T): void {
    if (item === this.first()) {
      this.shift();
      return;
    }
    const key = this.#key(item);
    const block = this.#blockOf(key);
    const items = this.#blocks[block]!;
    items.splice(this.#indexAbove(items, block, key) - 1, 1);
    this.#length -= 1;
    if (items.length === 0) this.#blocks.splice(block, 1);
  }

  /** Takes the first item. */
  shift(): T | undefined {
    const items = this.#blocks[0];
    if (items === undefined) return undefined;
    const item = items[this.#head]!;
    this.#head += 1;
    this.#length -= 1;
    if (this.#head === items.length) {
      this.#blocks.shift();
      this.#head = 0;
    }
    return item;
  }

  clear(): void {
    this.#blocks = [];
    this.#head = 0;
    this.#length = 0;
  }

  *[Symbol.iterator](): IterableIterator<T> {
    for (const [block, items] of this.#blocks.entries()) {
      for (let index = block === 0 ? this.#head : 0; index < items.length; index++) yield items[index]!;
    }
  }

  #append(item: T): void {
    const items = this.#blocks.at(-1);
    if (items === undefined || items.length >= BLOCK) this.#blocks.push([item]);
    else items.push(item);
  }

  #dropHead(): void {
    this.#blocks[0]!.splice(0, this.#head);
    this.#head = 0;
  }

  /** The last block whose first item's key is at most `key`; −1 if there is none. */
  #blockOf(key: number): number {
    let low = 0;
    let high = this.#blocks.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const first = this.#blocks[middle]![middle === 0 ? this.#head : 0]!;
      if (this.#key(first) <= key) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }

  /** The index in a block of the first item whose key is above `key`. */
  #indexAbove(items: readonly T[], block: number, key: number): number {
    let low = block === 0 ? this.#head : 0;
    let high = items.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#key(items[middle]!) <= key) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
