/**
 * A time for each id; there may be a million. A table that is made anew when it grows or shrinks keeps others waiting
 * meanwhile, so these are 64 small ones. The largest has twice the share of the smallest, so that they grow one after
 * the other; and a seed decides where an id goes, so that nobody can choose ids that are all in one place.
 *
 * Always holds: `size` is the sum of the parts' sizes, `memory` of their bytes; no part is empty.
 */
const PARTS = 64;
/** Entries of the smallest part. */
const FEWEST = 8;
/** Where there is no entry; ids are 0 or above. */
const FREE = -1;

export class IdTable {
  /** Made on first use. */
  #parts: (Part | undefined)[] = [];
  size = 0;
  /** Bytes. */
  memory = 0;
  readonly #seeds = crypto.getRandomValues(new Uint32Array(2));

  /** Undefined: the id is not here. */
  get(id: number): number | undefined {
    const hash = this.#hash(id);
    return this.#parts[partOf(hash)]?.get(id, hash);
  }

  /** False: it was here; its time is replaced. */
  set(id: number, time: number): boolean {
    const hash = this.#hash(id);
    const which = partOf(hash);
    this.#parts[which] ??= new Part((entryId) => this.#hash(entryId));
    const part = this.#parts[which];
    const { size, memory } = part;
    part.set(id, hash, time);
    this.#count(part, size, memory);
    return part.size > size;
  }

  /** False: it was not here. */
  delete(id: number): boolean {
    const hash = this.#hash(id);
    const which = partOf(hash);
    const part = this.#parts[which];
    if (part === undefined) return false;
    const { size, memory } = part;
    const wasHere = part.delete(id, hash);
    this.#count(part, size, memory);
    if (part.size === 0) {
      this.#parts[which] = undefined;
      this.memory -= part.memory;
    }
    return wasHere;
  }

  clear(): void {
    this.#parts = [];
    this.size = 0;
    this.memory = 0;
  }

  *[Symbol.iterator](): IterableIterator<[id: number, time: number]> {
    for (const part of this.#parts) if (part !== undefined) yield* part;
  }

  /** A part had so many ids and bytes before it changed. */
  #count(part: Part, size: number, memory: number): void {
    this.size += part.size - size;
    // A new one was not counted yet.
    this.memory += part.memory - (size === 0 ? 0 : memory);
  }

  /**
   * Of the id's 53 bits, as an unsigned 32-bit number (source: MurmurHash3's finalizer, Austin Appleby, public domain).
   */
  #hash(id: number): number {
    const [low, high] = this.#seeds;
    return mix(mix(id ^ low!) ^ Math.floor(id / 2 ** 32) ^ high!) >>> 0;
  }
}

/** A hash table in one array: an id that finds its place taken goes into the next that is free. */
class Part {
  /** Of the entry in place `p`: its id at 2p, its time at 2p + 1. */
  #entries = new Float64Array(2 * FEWEST).fill(FREE);
  /** One less than the places, which are a power of 2. */
  #mask = FEWEST - 1;
  size = 0;
  readonly #hash: (id: number) => number;

  constructor(hash: (id: number) => number) {
    this.#hash = hash;
  }

  get memory(): number {
    return this.#entries.byteLength;
  }

  get(id: number, hash: number): number | undefined {
    const place = this.#find(id, hash);
    return this.#entries[2 * place] === id ? this.#entries[2 * place + 1] : undefined;
  }

  set(id: number, hash: number, time: number): void {
    let place = this.#find(id, hash);
    if (this.#entries[2 * place] !== id) {
      // At most three quarters are taken, so that the next free place is near.
      if (4 * (this.size + 1) > 3 * (this.#mask + 1)) {
        this.#resize(2 * (this.#mask + 1));
        place = this.#find(id, hash);
      }
      this.#entries[2 * place] = id;
      this.size += 1;
    }
    this.#entries[2 * place + 1] = time;
  }

  /** False: it was not here. */
  delete(id: number, hash: number): boolean {
    let free = this.#find(id, hash);
    const entries = this.#entries;
    if (entries[2 * free] !== id) return false;
    this.size -= 1;
    // Those behind it that did not find their own place move up: a search ends at a free one.
    for (let next = (free + 1) & this.#mask; entries[2 * next] !== FREE; next = (next + 1) & this.#mask) {
      const own = this.#hash(entries[2 * next]!) & this.#mask;
      if (((next - own) & this.#mask) < ((next - free) & this.#mask)) continue;
      entries.copyWithin(2 * free, 2 * next, 2 * next + 2);
      free = next;
    }
    entries[2 * free] = FREE;
    if (this.#mask >= FEWEST && 8 * this.size < this.#mask) this.#resize((this.#mask + 1) / 2);
    return true;
  }

  *[Symbol.iterator](): IterableIterator<[id: number, time: number]> {
    const entries = this.#entries;
    for (let at = 0; at < entries.length; at += 2) {
      if (entries[at] !== FREE) yield [entries[at]!, entries[at + 1]!];
    }
  }

  /** The place of an id, or the free one where it would go. */
  #find(id: number, hash: number): number {
    const entries = this.#entries;
    let place = hash & this.#mask;
    while (entries[2 * place] !== id && entries[2 * place] !== FREE) place = (place + 1) & this.#mask;
    return place;
  }

  #resize(places: number): void {
    const before = this.#entries;
    this.#entries = new Float64Array(2 * places).fill(FREE);
    this.#mask = places - 1;
    for (let at = 0; at < before.length; at += 2) {
      const id = before[at]!;
      if (id === FREE) continue;
      const place = this.#find(id, this.#hash(id));
      this.#entries[2 * place] = id;
      this.#entries[2 * place + 1] = before[at + 1]!;
    }
  }
}

/** Which part has an id. Of its hash the upper bits matter here, and the lower ones for the place in the part. */
function partOf(hash: number): number {
  return Math.floor(PARTS * Math.log2(1 + hash / 2 ** 32));
}

function mix(value: number): number {
  let mixed = Math.imul(value ^ (value >>> 16), 0x85ebca6b);
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
  return mixed ^ (mixed >>> 16);
}
