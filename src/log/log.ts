/**
 * Where one topic keeps its messages: an append-only run of encoded batches, addressed by offset. It lies in
 * memory, in slabs in order of offset; the last one, the tail, is the one that is written. Nothing here waits.
 *
 * Always holds: slabs are in order of offset and disjoint; something lives in each of them; `memory` is
 * the capacity of all slabs and their indexes; offsets increase, are below 2^53 and are never used again.
 */
import { FRAME_HEADROOM } from "../wire/frames.ts";
import { spanWithin } from "../wire/scan.ts";
import { type Chunk, ChunkBuilder } from "./chunk.ts";
import { type CompactionWork, mergeSlabs, SPARSE, sparseNeighbours, workOfTurn } from "./compaction.ts";
import { canGrow, growthBy, neededFor } from "./growth.ts";
import { liveRun, type Place, Slab, skipReleased } from "./slab.ts";
import { type SlabPool, STANDARD_SLAB, slabSize } from "./slab-pool.ts";

/** Older slabs are looked at once half of these were freed, however many there are. */
const LOOKS = 8;

export class Log {
  readonly #pool: SlabPool;
  #slabs: Slab[] = [];
  #nextOffset = 0;
  #count = 0;
  #memory = 0;
  #sizeHint = 0;
  /** Slabs freed since the older ones were looked at. */
  #freed = 0;
  /** Where the last read ended, so that reading on need not search. */
  readonly #cursor: Place & { offset: number; slab: Slab | null } = {
    offset: -1,
    slab: null,
    ordinal: 0,
    byte: 0,
    segment: 0,
  };

  constructor(pool: SlabPool) {
    this.#pool = pool;
  }

  /** Messages in the log: appended and not released. */
  get count(): number {
    return this.#count;
  }

  /** Memory that the log holds, in bytes: capacity, not contents. */
  get memory(): number {
    return this.#memory;
  }

  /** An offset above all that are in use or were. */
  get nextOffset(): number {
    return this.#nextOffset;
  }

  /** By how much `memory` grows if a checked batch is appended next. */
  growth(batch: Uint8Array): number {
    return growthBy(batch, this.#nextOffset, this.#slabs.at(-1), this.#previousSize());
  }

  /**
   * Copies a checked batch of `count` messages behind the others and returns the offset of its first; the
   * others follow without gaps. A restore names that offset, at least `nextOffset`; an empty batch then only
   * moves `nextOffset`. `tight`: memory grows by no more than it must, and the next append takes longer for it.
   */
  append(batch: Uint8Array, count: number, firstOffset = this.#nextOffset, tight = false): number {
    if (count === 0) {
      this.#nextOffset = firstOffset;
      return firstOffset;
    }
    let tail = this.#tailFor(batch, tight);
    if (batch.length <= tail.capacity - tail.used) {
      this.#put(tail, batch, count, firstOffset);
    } else {
      // The batch is cut at an entry, so that a full slab wastes less than one message.
      let start = 0;
      let left = count;
      while (left > 0) {
        const fits = Slab.fitting(batch, start, tail.capacity - tail.used);
        if (fits.count > 0) {
          this.#put(tail, batch.subarray(start, fits.end), fits.count, firstOffset + count - left);
          left -= fits.count;
          start = fits.end;
        }
        if (left > 0) tail = this.#addSlabFor(batch, start, tight);
      }
    }
    this.#count += count;
    this.#nextOffset = firstOffset + count;
    return firstOffset;
  }

  /**
   * Reads messages that were not released, in order, from the first at or above `fromOffset`: at most
   * `maxMessages`, at most `maxBytes` but at least one, none at or above `endOffset`; at most to the end of a
   * slab. Null: there is none.
   */
  read(
    fromOffset: number,
    maxMessages: number,
    maxBytes: number,
    endOffset = Number.POSITIVE_INFINITY,
  ): Chunk | null {
    const cursor = this.#cursor;
    if (cursor.slab === null || cursor.offset !== fromOffset) this.#seek(fromOffset);
    while (cursor.slab !== null) {
      const chunk = this.#readSlab(cursor.slab, maxMessages, maxBytes, endOffset);
      if (chunk !== null) return chunk;
      if (cursor.slab.endOffset >= endOffset) return null;
      const next = this.#slabs[this.#slabIndex(cursor.slab.endOffset)];
      if (next === undefined) return null;
      this.#enter(next);
    }
    return null;
  }

  /**
   * Removes the messages of the offsets [firstOffset, firstOffset + count) that are still there, and returns how
   * many it removed. A slab whose messages are all released is freed.
   */
  release(firstOffset: number, count: number): number {
    const end = firstOffset + count;
    let released = 0;
    let index = this.#slabIndex(firstOffset);
    for (; index < this.#slabs.length && this.#slabs[index]!.firstOffset < end; index++) {
      const slab = this.#slabs[index]!;
      const overhead = slab.overhead;
      released += slab.release(firstOffset, end);
      this.#memory += slab.overhead - overhead;
      if (slab.live > 0) continue;
      this.#free(index);
      index -= 1;
      this.#freed += 1;
    }
    this.#count -= released;
    // Slabs older than a freed one may hold few messages. They are looked at once half as many were freed, or LOOKS / 2.
    if (index > 0 && this.#freed > 0 && 2 * this.#freed >= Math.min(index, LOOKS)) {
      this.#freed = 0;
      this.#compactBefore(Math.min(index, this.#slabs.length - 1), SPARSE, workOfTurn());
    }
    return released;
  }

  /** All messages of the offsets [first, end), in order. */
  *chunks(first: number, end: number): Generator<Chunk> {
    const all = Number.MAX_SAFE_INTEGER;
    for (let chunk = this.read(first, all, all, end); chunk !== null; ) {
      const { nextOffset } = chunk;
      yield chunk;
      chunk = this.read(nextOffset, all, all, end);
    }
  }

  /**
   * Gives back memory of slabs of which less than `share` lives (1: of all in which something was released): as much as
   * `work` allows. The next call begins at the oldest again; what was packed costs it next to nothing.
   */
  compact(share = SPARSE, work = workOfTurn()): void {
    this.#compactBefore(this.#slabs.length, share, work);
  }

  /** The topic is gone: frees everything. Nothing is called afterwards. */
  drop(): void {
    for (const slab of this.#slabs.splice(0)) this.#pool.give(slab.bytes);
    this.#cursor.slab = null;
    this.#count = 0;
    this.#memory = 0;
  }

  #put(slab: Slab, entries: Uint8Array, count: number, offset: number): void {
    const overhead = slab.overhead;
    slab.append(entries, count, offset);
    this.#memory += slab.overhead - overhead;
  }

  /** The slab to write to: the tail if it has any room or can be made larger, else a new one. */
  #tailFor(batch: Uint8Array, tight: boolean): Slab {
    const tail = this.#slabs.at(-1);
    if (tail === undefined) return this.#addSlabFor(batch, 0, tight);
    if (batch.length > tail.capacity - tail.used && canGrow(tail, batch.length)) {
      const grown = this.#pool.take(slabSize(tail.used + batch.length, tail.capacity, tight));
      grown.set(tail.bytes.subarray(0, tail.used));
      this.#memory += grown.length - tail.capacity;
      this.#pool.give(tail.bytes);
      tail.bytes = grown;
    }
    return tail;
  }

  /** A new tail for what follows `start` in `batch`: at least its next entry. */
  #addSlabFor(batch: Uint8Array, start: number, tight: boolean): Slab {
    const size = slabSize(neededFor(batch, start, tight), this.#previousSize(), tight);
    const slab = new Slab(this.#pool.take(size), size > STANDARD_SLAB ? FRAME_HEADROOM : 0);
    this.#slabs.push(slab);
    this.#memory += slab.memory;
    return slab;
  }

  /** What the next slab's size is derived from: the tail's, or of an empty log part of what the last held. */
  #previousSize(): number {
    return this.#slabs.at(-1)?.capacity ?? this.#sizeHint;
  }

  #free(index: number): void {
    const [slab] = this.#slabs.splice(index, 1);
    this.#sizeHint = 2 ** Math.floor(Math.log2(slab!.used / 8));
    if (this.#cursor.slab === slab) this.#cursor.slab = null;
    this.#discard(slab!);
  }

  #discard(slab: Slab): void {
    this.#memory -= slab.memory;
    this.#pool.give(slab.bytes);
  }

  /** The first slab whose end is above `offset`. */
  #slabIndex(offset: number): number {
    let low = 0;
    let high = this.#slabs.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#slabs[middle]!.endOffset <= offset) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #seek(offset: number): void {
    const slab = this.#slabs[this.#slabIndex(offset)];
    this.#cursor.slab = slab ?? null;
    this.#cursor.offset = offset;
    if (slab === undefined) return;
    const overhead = slab.overhead;
    slab.find(offset, this.#cursor);
    this.#memory += slab.overhead - overhead;
  }

  #enter(slab: Slab): void {
    this.#cursor.slab = slab;
    slab.place(0, this.#cursor);
  }

  /** Reads on from the cursor within its slab. Null: nothing live is left in it below `endOffset`. */
  #readSlab(slab: Slab, maxMessages: number, maxBytes: number, endOffset: number): Chunk | null {
    const cursor = this.#cursor;
    const chunk = new ChunkBuilder();
    while (cursor.ordinal < slab.count && chunk.count < maxMessages) {
      if (cursor.ordinal >= slab.ordinalAfter(cursor.segment)) cursor.segment += 1;
      // Before a look at what is released: that may be all that is behind the end, to the end of the slab.
      if (slab.offsetAt(cursor.segment, cursor.ordinal) >= endOffset) break;
      const holes = slab.hasHolesFrom(cursor.ordinal);
      if (holes) skipReleased(slab, cursor);
      if (cursor.ordinal >= slab.ordinalAfter(cursor.segment)) continue;
      const offset = slab.offsetAt(cursor.segment, cursor.ordinal);
      const limit = liveRun(slab, cursor, holes, Math.min(maxMessages - chunk.count, endOffset - offset));
      if (limit <= 0) break;
      const segmentEnd = slab.byteAfter(cursor.segment);
      const room = maxBytes - chunk.byteLength;
      let taken = limit;
      let end = segmentEnd;
      if (limit < slab.ordinalAfter(cursor.segment) - cursor.ordinal || segmentEnd - cursor.byte > room) {
        const least = chunk.count === 0 ? 1 : 0;
        const span = spanWithin(slab.bytes, cursor.byte, segmentEnd, limit, room, least);
        if (span.count === 0) break;
        taken = span.count;
        end = span.end;
      }
      chunk.add(offset, taken, slab.bytes, cursor.byte, end);
      cursor.ordinal += taken;
      cursor.byte = end;
    }
    const found = chunk.finish();
    if (found !== null) cursor.offset = found.nextOffset;
    return found;
  }

  /** Copies what lives in sparse slabs among the first `end` into new, small ones. */
  #compactBefore(end: number, share: number, work: CompactionWork): void {
    let left = end;
    for (let index = 0; index < left && work.left > 0; index++) {
      const old = sparseNeighbours(this.#slabs, index, left, share, work);
      if (old.length === 0) continue;
      const merged = mergeSlabs(old, this.#pool);
      this.#memory += merged.memory;
      for (const slab of old) this.#discard(slab);
      this.#slabs.splice(index, old.length, merged);
      this.#cursor.slab = null;
      left -= old.length - 1;
    }
  }
}
