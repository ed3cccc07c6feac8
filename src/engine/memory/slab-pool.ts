/**
 * Buffers for slabs. Owns the few standard buffers that wait to be used again.
 *
 * A queue that is drained as fast as it fills needs a new slab every few milliseconds; Bun gives freed
 * memory back late (seconds), so buffers of the standard size are kept and the others freed by hand.
 */

/** The size of a slab of a busy topic, in bytes. */
export const STANDARD_SLAB = 256 * 1024;
/** The size of a topic's first slab, in bytes. */
export const SMALLEST_SLAB = 256;

/** Buffers smaller than this are left to the garbage collector. */
const SMALLEST_KEPT = 4 * 1024;

export class SlabPool {
  /** By log2 of their size; sizes are powers of two from SMALLEST_KEPT to STANDARD_SLAB. */
  readonly #spare: Uint8Array<ArrayBuffer>[][] = [];
  readonly #maxSpareBytes: number;
  #spareBytes = 0;

  /** Keeps at most `maxSpareBytes` that nobody uses. */
  constructor(maxSpareBytes: number) {
    this.#maxSpareBytes = maxSpareBytes;
  }

  take(byteLength: number): Uint8Array<ArrayBuffer> {
    const spare = isKept(byteLength) ? this.#spare[Math.log2(byteLength)]?.pop() : undefined;
    if (spare === undefined) return new Uint8Array(byteLength);
    this.#spareBytes -= byteLength;
    return spare;
  }

  /** Nobody may look at `bytes` afterwards. */
  give(bytes: Uint8Array<ArrayBuffer>): void {
    if (isKept(bytes.length) && this.#spareBytes + bytes.length <= this.#maxSpareBytes) {
      this.#spareBytes += bytes.length;
      const size = Math.log2(bytes.length);
      this.#spare[size] ??= [];
      this.#spare[size].push(bytes);
    } else {
      free(bytes);
    }
  }

  clear(): void {
    for (const buffers of this.#spare) for (const bytes of buffers?.splice(0) ?? []) free(bytes);
    this.#spareBytes = 0;
  }
}

function isKept(byteLength: number): boolean {
  return byteLength >= SMALLEST_KEPT && byteLength <= STANDARD_SLAB && (byteLength & (byteLength - 1)) === 0;
}

/** Detaching frees the memory at once; a collection would come seconds later. Small ones are not worth it. */
function free(bytes: Uint8Array<ArrayBuffer>): void {
  if (bytes.length >= SMALLEST_KEPT) bytes.buffer.transfer(0);
}
