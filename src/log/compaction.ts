/** Merges nearly empty slabs, so that a few messages do not hold the memory of many. */
import { skipEntries } from "../wire/scan.ts";
import { liveRun, type Place, Slab, skipReleased } from "./slab.ts";
import { type SlabPool, STANDARD_SLAB } from "./slab-pool.ts";

/** A slab is sparse where less than this share of its bytes lives. */
export const SPARSE = 1 / 4;
/** What the index of a merged slab takes for each gap between messages, in bytes: a row, and room for the next. */
const GAP_BYTES = 48;

/** A slab's messages are counted anew once such a share of them was released: not for each that is settled. */
const RECOUNT = 1 / 64;

/** What compacting may still do in this turn. A look at a message costs 1, as does copying 16 bytes; a gap costs 16. */
export interface CompactionWork {
  left: number;
}

/** As much as takes some 10 ms. */
export function workOfTurn(): CompactionWork {
  return { left: 300_000 };
}

/**
 * The slabs from `index` on, and below `end`, of which less than `share` lives: as many neighbours as fit into one
 * standard slab, and as `work` allows. By bytes and not by messages, for one large message may lie among many small
 * ones.
 */
export function sparseNeighbours(
  slabs: readonly Slab[],
  index: number,
  end: number,
  share: number,
  work: CompactionWork,
): Slab[] {
  let bytes = 0;
  let next = index;
  for (; next < end && work.left > 0; next++) {
    const slab = slabs[next]!;
    // An entry has two bytes at least: most slabs need no look at theirs.
    if (slab.live === slab.count || 2 * slab.live >= slab.used * share) break;
    if (slab.uncounted > (share < 1 ? slab.count * RECOUNT : 0)) {
      work.left -= slab.count;
      slab.countLive();
    }
    const { liveBytes, used, gaps, overhead } = slab;
    if (liveBytes >= used * share) break;
    // Small messages of which many are left apart would take more in an index than their gaps do now.
    if (used - liveBytes <= GAP_BYTES * gaps + overhead) break;
    bytes += liveBytes;
    if (bytes > STANDARD_SLAB && next > index) break;
    work.left -= slab.count + 16 * gaps + liveBytes / 16;
  }
  return slabs.slice(index, next);
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
