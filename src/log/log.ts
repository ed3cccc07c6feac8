/**
 * Where one topic keeps its messages: an append-only run of encoded batches, addressed by offset. It lies in
 * memory, in slabs in order of offset; the last one, the tail, is the one that is written. Nothing here waits.
 *
 * Always holds: slabs are in order of offset and disjoint; none but the tail has `live` 0; `memory` is the
 * capacity of all slabs and their indexes; offsets increase, are below 2^53 and are never used again.
 */

import { FRAME_HEADROOM } from "../wire/frames.ts";
import { entryEnd, skipEntries, spanWithin } from "../wire/scan.ts";
import { type Place, Slab } from "./slab.ts";
import { largeSlab, type SlabPool, SMALLEST_SLAB, STANDARD_SLAB } from "./slab-pool.ts";

/** Messages with consecutive offsets. */
export interface OffsetRun {
  readonly firstOffset: number;
  readonly count: number;
}

/** What one read found. */
export interface Chunk {
  /** In order of offset, disjoint; the counts add up to `count`. */
  readonly runs: readonly OffsetRun[];
  /** Encoded batches whose concatenation is the messages. Views: valid until the log is written or released. */
  readonly parts: readonly Uint8Array[];
  readonly count: number;
  /** Of all parts. */
  readonly byteLength: number;
  /** The lowest offset that may come after these. */
  readonly nextOffset: number;
}

/** A sealed slab with less live than this share is not worth its memory. */
const SPARSE = 1 / 4;

export class Log {
  readonly #pool: SlabPool;
  #slabs: Slab[] = [];
  #nextOffset = 0;
  #count = 0;
  #memory = 0;
  #sizeHint = 0;
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

  /** An offset above all that were given. */
  get nextOffset(): number {
    return this.#nextOffset;
  }

  /** How much `memory` would grow if a batch of `byteLength` bytes were appended. */
  growth(byteLength: number): number {
    const tail = this.#slabs.at(-1);
    const room = tail === undefined ? 0 : tail.capacity - tail.used;
    if (byteLength <= room) return 0;
    if (tail !== undefined && this.#canGrow(tail, byteLength)) {
      return slabSize(tail.used + byteLength, tail.capacity) - tail.capacity;
    }
    const rest = byteLength - room;
    const standards = rest > STANDARD_SLAB ? Math.floor(rest / STANDARD_SLAB) : 0;
    return standards * STANDARD_SLAB + slabSize(rest - standards * STANDARD_SLAB, this.#previousSize());
  }

  /**
   * Copies a checked batch of `count` messages behind the others and returns the offset of its first; the
   * others follow without gaps. A restore names that offset, at least `nextOffset`; an empty batch then only
   * moves `nextOffset`.
   */
  append(batch: Uint8Array, count: number, firstOffset = this.#nextOffset): number {
    if (count === 0) {
      this.#nextOffset = firstOffset;
      return firstOffset;
    }
    let tail = this.#tailFor(batch);
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
        if (left > 0) tail = this.#addSlabFor(batch, start);
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
   * Removes messages of the offsets [firstOffset, firstOffset + count), whoever was there, and returns how
   * many it removed. A slab whose messages are all released is freed.
   */
  release(firstOffset: number, count: number): number {
    const end = firstOffset + count;
    let released = 0;
    let index = this.#slabIndex(firstOffset);
    let freed = false;
    for (; index < this.#slabs.length && this.#slabs[index]!.firstOffset < end; index++) {
      const slab = this.#slabs[index]!;
      const overhead = slab.overhead;
      released += slab.release(firstOffset, end);
      this.#memory += slab.overhead - overhead;
      if (slab.live > 0) continue;
      this.#free(index);
      index -= 1;
      freed = true;
    }
    this.#count -= released;
    // What is older than a freed slab and nearly empty is held by a few messages: they move.
    if (freed && index > 0) this.#compactBefore(Math.min(index, this.#slabs.length - 1));
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

  /** Gives back what memory it can without losing a message. */
  compact(): void {
    this.#compactBefore(this.#slabs.length);
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
  #tailFor(batch: Uint8Array): Slab {
    const tail = this.#slabs.at(-1);
    if (tail === undefined) return this.#addSlabFor(batch, 0);
    if (batch.length > tail.capacity - tail.used && this.#canGrow(tail, batch.length)) {
      const grown = this.#pool.take(slabSize(tail.used + batch.length, tail.capacity));
      grown.set(tail.bytes.subarray(0, tail.used));
      this.#memory += grown.length - tail.capacity;
      this.#pool.give(tail.bytes);
      tail.bytes = grown;
    }
    return tail;
  }

  /** Small slabs grow by copying; standard ones are sealed when they are full. */
  #canGrow(tail: Slab, byteLength: number): boolean {
    return tail.capacity < STANDARD_SLAB && tail.used + byteLength <= STANDARD_SLAB;
  }

  /** A new tail for what follows `start` in `batch`: at least its next entry. */
  #addSlabFor(batch: Uint8Array, start: number): Slab {
    const wanted = Math.min(batch.length - start, STANDARD_SLAB);
    const size = slabSize(Math.max(entryEnd(batch, start) - start, wanted), this.#previousSize());
    const slab = new Slab(this.#pool.take(size), size > STANDARD_SLAB ? FRAME_HEADROOM : 0);
    this.#slabs.push(slab);
    this.#memory += slab.capacity + slab.overhead;
    return slab;
  }

  /** What the next slab's size is derived from: the tail's, or of an empty log part of what the last held. */
  #previousSize(): number {
    return this.#slabs.at(-1)?.capacity ?? this.#sizeHint;
  }

  #free(index: number): void {
    const [slab] = this.#slabs.splice(index, 1);
    this.#memory -= slab!.capacity + slab!.overhead;
    this.#sizeHint = 2 ** Math.floor(Math.log2(slab!.used / 8));
    if (this.#cursor.slab === slab) this.#cursor.slab = null;
    this.#pool.give(slab!.bytes);
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
    if (slab !== undefined) slab.find(offset, this.#cursor);
  }

  #enter(slab: Slab): void {
    this.#cursor.slab = slab;
    slab.place(0, this.#cursor);
  }

  /** Reads on from the cursor within its slab. Null: nothing live is left in it below `endOffset`. */
  #readSlab(slab: Slab, maxMessages: number, maxBytes: number, endOffset: number): Chunk | null {
    const cursor = this.#cursor;
    const runs: OffsetRun[] = [];
    const parts: Uint8Array[] = [];
    let count = 0;
    let byteLength = 0;
    while (cursor.ordinal < slab.count && count < maxMessages) {
      if (cursor.ordinal >= slab.ordinalAfter(cursor.segment)) cursor.segment += 1;
      const holes = slab.hasHolesFrom(cursor.ordinal);
      if (holes) skipReleased(slab, cursor);
      if (cursor.ordinal >= slab.ordinalAfter(cursor.segment)) continue;
      const offset = slab.offsetAt(cursor.segment, cursor.ordinal);
      const limit = Math.min(maxMessages - count, endOffset - offset, liveRun(slab, cursor, holes));
      if (limit <= 0) break;
      const segmentEnd = slab.byteAfter(cursor.segment);
      const left = slab.ordinalAfter(cursor.segment) - cursor.ordinal;
      let taken = limit;
      let end = segmentEnd;
      if (limit < left || segmentEnd - cursor.byte > maxBytes - byteLength) {
        const span = spanWithin(
          slab.bytes,
          cursor.byte,
          segmentEnd,
          limit,
          maxBytes - byteLength,
          count === 0 ? 1 : 0,
        );
        if (span.count === 0) break;
        taken = span.count;
        end = span.end;
      }
      addRun(runs, offset, taken);
      addPart(parts, slab.bytes, cursor.byte, end);
      count += taken;
      byteLength += end - cursor.byte;
      cursor.ordinal += taken;
      cursor.byte = end;
    }
    const last = runs.at(-1);
    if (last === undefined) return null;
    cursor.offset = last.firstOffset + last.count;
    return { runs, parts, count, byteLength, nextOffset: cursor.offset };
  }

  /** Copies what lives in sparse slabs among the first `end` into new, small ones. */
  #compactBefore(end: number): void {
    let left = end;
    for (let index = 0; index < left; index++) {
      let sparse = 0;
      while (index + sparse < left && isSparse(this.#slabs[index + sparse]!)) sparse += 1;
      if (sparse === 0) continue;
      const moved = this.#merged(this.#slabs.slice(index, index + sparse));
      this.#slabs.splice(index, sparse, moved);
      this.#cursor.slab = null;
      left -= sparse - 1;
    }
  }

  /** What lives in `slabs`, neighbours, in one slab of just that size. */
  #merged(slabs: Slab[]): Slab {
    const pieces = slabs.flatMap(livePieces);
    const target = new Slab(this.#pool.take(pieces.reduce((sum, piece) => sum + piece.entries.length, 0)));
    for (const piece of pieces) target.append(piece.entries, piece.count, piece.offset);
    this.#memory += target.capacity + target.overhead;
    for (const slab of slabs) {
      this.#memory -= slab.capacity + slab.overhead;
      this.#pool.give(slab.bytes);
    }
    return target;
  }
}

function isSparse(slab: Slab): boolean {
  return slab.live < slab.count * SPARSE;
}

/** What lives in a slab, as views of its entries. */
function livePieces(slab: Slab): { entries: Uint8Array; offset: number; count: number }[] {
  const pieces: { entries: Uint8Array; offset: number; count: number }[] = [];
  const place: Place = { ordinal: 0, byte: 0, segment: 0 };
  slab.place(0, place);
  while (place.ordinal < slab.count) {
    if (place.ordinal >= slab.ordinalAfter(place.segment)) place.segment += 1;
    skipReleased(slab, place);
    const count = liveRun(slab, place, true);
    if (count === 0) continue;
    const end = skipEntries(slab.bytes, place.byte, count);
    const offset = slab.offsetAt(place.segment, place.ordinal);
    pieces.push({ entries: slab.bytes.subarray(place.byte, end), offset, count });
    place.byte = end;
    place.ordinal += count;
  }
  return pieces;
}

/** Moves `place` over what is released, to the end of its segment at most. */
function skipReleased(slab: Slab, place: Place): void {
  const end = slab.ordinalAfter(place.segment);
  while (place.ordinal < end && slab.isReleased(place.ordinal)) {
    place.ordinal += 1;
    place.byte = entryEnd(slab.bytes, place.byte);
  }
}

/** How many messages from `place` live, up to the end of its segment. */
function liveRun(slab: Slab, place: Place, holes: boolean): number {
  const end = slab.ordinalAfter(place.segment);
  if (!holes) return end - place.ordinal;
  let ordinal = place.ordinal;
  while (ordinal < end && !slab.isReleased(ordinal)) ordinal += 1;
  return ordinal - place.ordinal;
}

function addRun(runs: OffsetRun[], firstOffset: number, count: number): void {
  const last = runs.at(-1);
  if (last !== undefined && last.firstOffset + last.count === firstOffset) {
    runs[runs.length - 1] = { firstOffset: last.firstOffset, count: last.count + count };
  } else {
    runs.push({ firstOffset, count });
  }
}

function addPart(parts: Uint8Array[], bytes: Uint8Array, start: number, end: number): void {
  const last = parts.at(-1);
  if (last !== undefined && last.byteOffset + last.length === start + bytes.byteOffset) {
    parts[parts.length - 1] = bytes.subarray(start - last.length, end);
  } else {
    parts.push(bytes.subarray(start, end));
  }
}

/** The size of a slab that must hold `needed` bytes, behind one of `previous`: twice that, up to standard. */
function slabSize(needed: number, previous: number): number {
  const wanted = Math.min(STANDARD_SLAB, Math.max(SMALLEST_SLAB, previous * 2));
  if (needed <= wanted) return wanted;
  if (needed > STANDARD_SLAB) return largeSlab(needed + FRAME_HEADROOM);
  return Math.min(STANDARD_SLAB, 2 ** Math.ceil(Math.log2(needed)));
}
