/**
 * Buffers for slabs. Owns those that are spare: freed by one slab, and kept for the next.
 *
 * A queue that is drained as fast as it fills needs a new slab every few milliseconds, and the garbage collector
 * gives memory back seconds late. So buffers of the usual sizes are kept, the others are freed by hand.
 * Always holds: spare buffers take at most `maxSpareBytes`.
 */

import { FRAME_HEADROOM } from "../wire/frames.ts";

/** The size of a slab of a busy topic, in bytes. */
export const STANDARD_SLAB = 256 * 1024;
/** The size of a topic's first slab, in bytes. */
export const SMALLEST_SLAB = 256;

/** Slabs above the standard size, each for one large message, are multiples of this. */
const LARGE_STEP = 32 * 1024;
/** Larger slabs are not kept. */
const LARGEST_KEPT = 2 * 1024 * 1024;

/** Spare buffers, of all topics and sizes, in bytes: as many as a busy queue uses in turn. */
export const MAX_SPARE_BYTES = 4 * 1024 * 1024;

/** Buffers smaller than this are left to the garbage collector. */
const SMALLEST_KEPT = 4 * 1024;

export class SlabPool {
  /** By size, in bytes; the size that was given back most recently is the last. */
  readonly #spare = new Map<number, Uint8Array<ArrayBuffer>[]>();
  readonly #maxSpareBytes: number;
  #spareBytes = 0;

  /** Keeps at most `maxSpareBytes` that nobody uses. */
  constructor(maxSpareBytes = MAX_SPARE_BYTES) {
    this.#maxSpareBytes = maxSpareBytes;
  }

  take(byteLength: number): Uint8Array<ArrayBuffer> {
    const spare = this.#spare.get(byteLength)?.pop();
    if (spare === undefined) return new Uint8Array(byteLength);
    this.#spareBytes -= byteLength;
    return spare;
  }

  /** Nobody may look at `bytes` afterwards. */
  give(bytes: Uint8Array<ArrayBuffer>): void {
    const size = bytes.length;
    if (!isKept(size) || size > this.#maxSpareBytes) {
      free(bytes);
      return;
    }
    // Sizes that were not given back for long make room for those in use today.
    while (this.#spareBytes + size > this.#maxSpareBytes) this.#freeOldest();
    const spare = this.#spare.get(size) ?? [];
    this.#spare.delete(size);
    this.#spare.set(size, spare);
    spare.push(bytes);
    this.#spareBytes += size;
  }

  clear(): void {
    for (const buffers of this.#spare.values()) for (const bytes of buffers) free(bytes);
    this.#spare.clear();
    this.#spareBytes = 0;
  }

  /** Frees one buffer of the size that was given longest ago. */
  #freeOldest(): void {
    const [size, buffers] = this.#spare.entries().next().value!;
    const bytes = buffers.pop();
    if (bytes === undefined) {
      this.#spare.delete(size);
      return;
    }
    free(bytes);
    this.#spareBytes -= size;
  }
}

/** The size of a slab for one message of `byteLength`, which is above the standard. */
export function largeSlab(byteLength: number): number {
  return LARGE_STEP * Math.ceil(byteLength / LARGE_STEP);
}

/**
 * The size of a slab that must hold `needed` bytes, behind one of `previous` bytes: twice that, up to the standard
 * size, and more if it must be; `tight`: no more than it must be.
 */
export function slabSize(needed: number, previous: number, tight = false): number {
  if (tight && needed <= STANDARD_SLAB) return needed;
  const wanted = Math.min(STANDARD_SLAB, Math.max(SMALLEST_SLAB, previous * 2));
  if (needed <= wanted) return wanted;
  if (needed > STANDARD_SLAB) return largeSlab(needed + FRAME_HEADROOM);
  return Math.min(STANDARD_SLAB, 2 ** Math.ceil(Math.log2(needed)));
}

/** Powers of two up to the standard, steps above: few sizes, so that a spare buffer fits the next slab. */
function isKept(byteLength: number): boolean {
  if (byteLength > STANDARD_SLAB) return byteLength <= LARGEST_KEPT && byteLength % LARGE_STEP === 0;
  return byteLength >= SMALLEST_KEPT && (byteLength & (byteLength - 1)) === 0;
}

/** Detaching a buffer frees its memory at once; the collector would seconds later. Not worth it for small ones. */
function free(bytes: Uint8Array<ArrayBuffer>): void {
  if (bytes.length >= SMALLEST_KEPT) bytes.buffer.transfer(0);
}
