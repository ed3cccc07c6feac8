/**
 * A time for each id, for there may be a million of them. A `Map` of so many is copied within one turn when it
 * grows or shrinks, which takes 200 ms (measured). This one is in parts, which do so one after the other.
 *
 * Always holds: an id is in the part and, in that, in the first slot from its own on that was free, as its hash
 * says. The hash is seeded: nobody can choose ids that all want one slot.
 */
const PARTS = 64;
const FIRST_BITS = 3;
const EMPTY = new Float64Array(0);
const seeds = crypto.getRandomValues(new Uint32Array(2));

export class IdTable {
  /** Made on first use. */
  #parts: (Part | undefined)[] = [];
  size = 0;

  /** Undefined: the id is not here. */
  get(id: number): number | undefined {
    const hashed = hash(id);
    return this.#parts[hashed % PARTS]?.get(id, hashed);
  }

  set(id: number, time: number): void {
    const hashed = hash(id);
    const which = hashed % PARTS;
    // Between a third and two thirds, so that no two parts of a size are full at once.
    this.#parts[which] ??= new Part(2 ** (which / PARTS) / 3);
    if (this.#parts[which].set(id, hashed, time)) this.size += 1;
  }

  /** False: it was not here. */
  delete(id: number): boolean {
    const hashed = hash(id);
    if (!this.#parts[hashed % PARTS]?.delete(id, hashed)) return false;
    this.size -= 1;
    return true;
  }

  clear(): void {
    this.#parts = [];
    this.size = 0;
  }

  *[Symbol.iterator](): IterableIterator<[id: number, time: number]> {
    for (const part of this.#parts) if (part !== undefined) yield* part;
  }
}

/** Some of the ids. A slot is two numbers side by side: the id and 1 (0: it is empty), and the time. */
class Part {
  #slots = EMPTY;
  /** It has 2 ** `#bits` slots, once it has any. */
  #bits = 0;
  #size = 0;
  /** The share of slots from which on it grows; below a third of that it shrinks. */
  readonly #full: number;

  constructor(full: number) {
    this.#full = full;
  }

  get(id: number, hashed: number): number | undefined {
    if (this.#size === 0) return undefined;
    const at = this.#find(id, hashed);
    return this.#slots[at] === 0 ? undefined : this.#slots[at + 1];
  }

  /** Whether it is new here. */
  set(id: number, hashed: number, time: number): boolean {
    if (2 * (this.#size + 1) > this.#full * this.#slots.length) {
      this.#resize(Math.max(FIRST_BITS, this.#bits + 1));
    }
    const at = this.#find(id, hashed);
    const isNew = this.#slots[at] === 0;
    if (isNew) this.#size += 1;
    this.#slots[at] = id + 1;
    this.#slots[at + 1] = time;
    return isNew;
  }

  delete(id: number, hashed: number): boolean {
    if (this.#size === 0) return false;
    const at = this.#find(id, hashed);
    if (this.#slots[at] === 0) return false;
    this.#empty(at);
    this.#size -= 1;
    if (this.#size === 0) {
      this.#slots = EMPTY;
      this.#bits = 0;
    } else if (this.#bits > FIRST_BITS && 6 * this.#size < this.#full * this.#slots.length) {
      this.#resize(this.#bits - 1);
    }
    return true;
  }

  *[Symbol.iterator](): IterableIterator<[id: number, time: number]> {
    const slots = this.#slots;
    for (let at = 0; at < slots.length; at += 2) if (slots[at] !== 0) yield [slots[at]! - 1, slots[at + 1]!];
  }

  /** Where an id is, or the empty slot where it would be. */
  #find(id: number, hashed: number): number {
    const slots = this.#slots;
    let at = this.#home(hashed);
    while (slots[at] !== 0 && slots[at] !== id + 1) at = (at + 2) & (slots.length - 1);
    return at;
  }

  /** The slot that an id wants: by the upper bits, for the lower ones tell the part. */
  #home(hashed: number): number {
    return 2 * (hashed >>> (32 - this.#bits));
  }

  /** Empties a slot, and moves those behind it that wanted to be further in front. */
  #empty(emptied: number): void {
    const slots = this.#slots;
    const last = slots.length - 1;
    let hole = emptied;
    for (let at = (hole + 2) & last; slots[at] !== 0; at = (at + 2) & last) {
      // Not in front of its own slot.
      if (((at - this.#home(hash(slots[at]! - 1))) & last) < ((at - hole) & last)) continue;
      slots.copyWithin(hole, at, at + 2);
      hole = at;
    }
    slots[hole] = 0;
  }

  #resize(bits: number): void {
    const old = this.#slots;
    this.#slots = new Float64Array(2 * 2 ** bits);
    this.#bits = bits;
    for (let from = 0; from < old.length; from += 2) {
      if (old[from] === 0) continue;
      const id = old[from]! - 1;
      const at = this.#find(id, hash(id));
      this.#slots[at] = old[from]!;
      this.#slots[at + 1] = old[from + 1]!;
    }
  }
}

/** 32 bits of an id of 53 (source: MurmurHash3's finalizer, Austin Appleby, public domain). */
function hash(id: number): number {
  return mix(mix(id ^ seeds[0]!) ^ Math.floor(id / 2 ** 32) ^ seeds[1]!) >>> 0;
}

function mix(value: number): number {
  let mixed = Math.imul(value ^ (value >>> 16), 0x85ebca6b);
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
  return mixed ^ (mixed >>> 16);
}
