/**
 * A time for each id; there may be a million. A `Map` of so many is copied within one turn when it grows or shrinks
 * (200 ms, measured), so these are 64 of them. The largest has twice the share of the smallest, so that they grow
 * one after the other; and a seed decides which map has an id, so that nobody can choose ids that are all in one.
 *
 * Always holds: `size` is the sum of the maps' sizes.
 */
const MAPS = 64;

export class IdTable {
  /** Made on first use. */
  #maps: (Map<number, number> | undefined)[] = [];
  size = 0;
  readonly #seeds = crypto.getRandomValues(new Uint32Array(2));

  /** Undefined: the id is not here. */
  get(id: number): number | undefined {
    return this.#maps[this.#mapOf(id)]?.get(id);
  }

  set(id: number, time: number): void {
    const which = this.#mapOf(id);
    this.#maps[which] ??= new Map();
    const map = this.#maps[which];
    const before = map.size;
    map.set(id, time);
    this.size += map.size - before;
  }

  /** False: it was not here. */
  delete(id: number): boolean {
    if (this.#maps[this.#mapOf(id)]?.delete(id) !== true) return false;
    this.size -= 1;
    return true;
  }

  clear(): void {
    this.#maps = [];
    this.size = 0;
  }

  *[Symbol.iterator](): IterableIterator<[id: number, time: number]> {
    for (const map of this.#maps) if (map !== undefined) yield* map;
  }

  /** By a hash of the id's 53 bits (source: MurmurHash3's finalizer, Austin Appleby, public domain). */
  #mapOf(id: number): number {
    const [low, high] = this.#seeds;
    const hash = mix(mix(id ^ low!) ^ Math.floor(id / 2 ** 32) ^ high!) >>> 0;
    return Math.floor(MAPS * Math.log2(1 + hash / 2 ** 32));
  }
}

function mix(value: number): number {
  let mixed = Math.imul(value ^ (value >>> 16), 0x85ebca6b);
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
  return mixed ^ (mixed >>> 16);
}
