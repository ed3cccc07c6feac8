/** Moves what lives in nearly empty slabs, so that a few messages do not hold the memory of many. */
import { skipEntries } from "../wire/scan.ts";
import { liveRun, type Place, Slab, skipReleased } from "./slab.ts";
import type { SlabPool } from "./slab-pool.ts";

/** A sealed slab with less live than this share is sparse. */
const SPARSE = 1 / 4;

/** Whether a sealed slab is not worth its memory. */
export function isSparse(slab: Slab): boolean {
  return slab.live < slab.count * SPARSE;
}

/** A copy of what lives in `slabs`, neighbours, in one slab of just that size. */
export function mergeSlabs(slabs: readonly Slab[], pool: SlabPool): Slab {
  const pieces = slabs.flatMap(livePieces);
  const target = new Slab(pool.take(pieces.reduce((sum, piece) => sum + piece.entries.length, 0)));
  for (const piece of pieces) target.append(piece.entries, piece.count, piece.offset);
  return target;
}

/** What lives in a slab, as views of its entries. */
function livePieces(slab: Slab): { entries: Uint8Array; offset: number; count: number }[] {
  const pieces: { entries: Uint8Array; offset: number; count: number }[] = [];
  const place: Place = { ordinal: 0, byte: 0, segment: 0 };
  slab.place(0, place);
  while (place.ordinal < slab.count) {
    if (place.ordinal >= slab.ordinalAfter(place.segment)) place.segment += 1;
    skipReleased(slab, place);
    const count = liveRun(slab, place, true, slab.count);
    if (count === 0) continue;
    const end = skipEntries(slab.bytes, place.byte, count);
    const offset = slab.offsetAt(place.segment, place.ordinal);
    pieces.push({ entries: slab.bytes.subarray(place.byte, end), offset, count });
    place.byte = end;
    place.ordinal += count;
  }
  return pieces;
}
