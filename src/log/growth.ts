/** How large the slabs of a log are made. Always holds: a log grows by exactly what `growthBy` says (tested). */
import { FRAME_HEADROOM } from "../wire/frames.ts";
import { entryEnd } from "../wire/scan.ts";
import { LEAST_INDEX_BYTES, Slab } from "./slab.ts";
import { STANDARD_SLAB, slabSize } from "./slab-pool.ts";

/** Whether a tail is made larger by copying, so that a batch fits; standard slabs are left as they are. */
export function canGrow(tail: Slab, byteLength: number): boolean {
  return tail.capacity < STANDARD_SLAB && tail.used + byteLength <= STANDARD_SLAB;
}

/**
 * What a new slab must hold of a batch from `start` on: all of it, as much as is standard (`tight`: as many entries as
 * fit into that), or one large entry.
 */
export function neededFor(batch: Uint8Array, start: number, tight: boolean): number {
  const most = tight ? fitting(batch, start, STANDARD_SLAB) - start : STANDARD_SLAB;
  return Math.max(entryEnd(batch, start) - start, Math.min(batch.length - start, most));
}

/** By how much a log grows, in bytes, if a checked batch is appended at `offset`; `before`: the `previous` of `slabSize`. */
export function growthBy(batch: Uint8Array, offset: number, tail: Slab | undefined, before: number): number {
  let growth = 0;
  let start = 0;
  if (tail !== undefined) {
    const room = tail.capacity - tail.used;
    if (batch.length > room && canGrow(tail, batch.length)) {
      return slabSize(tail.used + batch.length, tail.capacity) - tail.capacity + tail.indexGrowth(offset);
    }
    start = fitting(batch, 0, room);
    if (start > 0) growth = tail.indexGrowth(offset);
  }
  for (let previous = before; start < batch.length; ) {
    const size = slabSize(neededFor(batch, start, false), previous);
    growth += size + LEAST_INDEX_BYTES;
    start = fitting(batch, start, size > STANDARD_SLAB ? size - FRAME_HEADROOM : size);
    previous = size;
  }
  return growth;
}

/** Where the last entry from `start` on ends that fits into `room`. */
function fitting(batch: Uint8Array, start: number, room: number): number {
  return batch.length - start <= room ? batch.length : Slab.fitting(batch, start, room).end;
}
