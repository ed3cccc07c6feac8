/**
 * One contiguous buffer of a memory log, with its index.
 *
 * Messages of a slab have ordinals from 0. The index has one row for each segment: a stretch of messages
 * with consecutive offsets and bytes. Small batches share a segment, so that the index costs a fraction of
 * a byte a message. Always holds: `live` is `count` less what was released; every ordinal below
 * `releasedPrefix` was released; beyond it `#released` (made when messages are first released out of order) has
 * a bit for each.
 */
import { entryEnd, skipEntries, spanWithin } from "../wire/scan.ts";

/** A segment of this size is not extended: finding a message walks the entries of its segment. */
const SEGMENT_MESSAGES = 64;
const SEGMENT_BYTES = 8 * 1024;
/** Numbers of an index row: first offset, first ordinal, first byte. */
const ROW = 3;
/** What the index of a slab with one segment takes, in bytes. */
export const LEAST_INDEX_BYTES = ROW * Float64Array.BYTES_PER_ELEMENT;

/** A place in a slab: a message's ordinal, its byte, and the segment that holds it. */
export interface Place {
  ordinal: number;
  byte: number;
  segment: number;
}

export class Slab {
  bytes: Uint8Array<ArrayBuffer>;
  /** Where the next message goes. */
  used: number;
  count = 0;
  live = 0;
  releasedPrefix = 0;
  firstOffset = 0;
  /** Above the last offset. */
  endOffset = 0;
  #rows = new Float64Array(ROW);
  #segments = 0;
  #released: Uint8Array | null = null;
  /** What was there when `countLive` was called last. */
  #walked = { count: 0, live: 0, used: 0, bytes: 0 };

  /** The first message goes to the byte `start`. */
  constructor(bytes: Uint8Array<ArrayBuffer>, start = 0) {
    this.bytes = bytes;
    this.used = start;
    this.#walked.used = start;
  }

  get capacity(): number {
    return this.bytes.length;
  }

  /** What the slab holds beside its buffer, in bytes: index and release bits. */
  get overhead(): number {
    return this.#rows.byteLength + (this.#released?.byteLength ?? 0);
  }

  /** All that the slab holds, in bytes. */
  get memory(): number {
    return this.capacity + this.overhead;
  }

  /** By how much `overhead` grows if messages from `offset` on are appended. */
  indexGrowth(offset: number): number {
    return this.#segments * ROW === this.#rows.length && this.#opensSegment(offset)
      ? this.#rows.byteLength
      : 0;
  }

  /** Bytes of the messages that were not released, and of the `uncounted`. */
  get liveBytes(): number {
    if (this.#released === null) return this.used - this.#byteOf(this.releasedPrefix);
    return this.#walked.bytes + this.used - this.#walked.used;
  }

  /** Messages that were released since the last `countLive`. */
  get uncounted(): number {
    if (this.#released === null) return 0;
    return this.#walked.live + this.count - this.#walked.count - this.live;
  }

  /** Makes `liveBytes` exact: walks all messages. */
  countLive(): void {
    const { count, live, used } = this;
    let bytes = 0;
    let at = this.#byteOf(this.releasedPrefix);
    for (let ordinal = this.releasedPrefix; ordinal < count; ordinal++) {
      const end = entryEnd(this.bytes, at);
      if (!this.isReleased(ordinal)) bytes += end - at;
      at = end;
    }
    this.#walked = { count, live, used, bytes };
  }

  /** How many stretches of released messages there are, at most. */
  get gaps(): number {
    return this.#released === null ? 1 : Math.min(this.live, this.count - this.live) + 1;
  }

  /** Copies checked entries behind the others. There must be room; `offset` is at least `endOffset`. */
  append(entries: Uint8Array, count: number, offset: number): void {
    if (this.count === 0) this.firstOffset = offset;
    if (this.#opensSegment(offset)) this.#openSegment(offset);
    this.bytes.set(entries, this.used);
    this.used += entries.length;
    this.count += count;
    this.live += count;
    this.endOffset = offset + count;
  }

  /** The place of the first message at or above `offset`; its ordinal is `count` if there is none. */
  find(offset: number, place: Place): void {
    if (offset >= this.endOffset) {
      place.ordinal = this.count;
      place.byte = this.used;
      place.segment = this.#segments;
      return;
    }
    let segment = Math.max(0, this.#segmentAt(offset, 0));
    let ahead = offset - this.#rows[segment * ROW]!;
    const length = this.ordinalAfter(segment) - this.#rows[segment * ROW + 1]!;
    if (ahead >= length) {
      // In a gap of the offsets: the next segment begins above it.
      this.place(segment + 1, place);
      return;
    }
    if (ahead >= SEGMENT_MESSAGES) {
      this.#divide(segment, length);
      segment += Math.floor(ahead / SEGMENT_MESSAGES);
      ahead %= SEGMENT_MESSAGES;
    }
    this.place(segment, place);
    if (ahead > 0) {
      place.byte = skipEntries(this.bytes, place.byte, ahead);
      place.ordinal += ahead;
    }
  }

  /** The place where a segment begins. */
  place(segment: number, place: Place): void {
    place.segment = segment;
    place.ordinal = segment < this.#segments ? this.#rows[segment * ROW + 1]! : this.count;
    place.byte = segment < this.#segments ? this.#rows[segment * ROW + 2]! : this.used;
  }

  offsetAt(segment: number, ordinal: number): number {
    return this.#rows[segment * ROW]! + ordinal - this.#rows[segment * ROW + 1]!;
  }

  ordinalAfter(segment: number): number {
    return segment + 1 < this.#segments ? this.#rows[(segment + 1) * ROW + 1]! : this.count;
  }

  byteAfter(segment: number): number {
    return segment + 1 < this.#segments ? this.#rows[(segment + 1) * ROW + 2]! : this.used;
  }

  isReleased(ordinal: number): boolean {
    if (ordinal < this.releasedPrefix) return true;
    return this.#released !== null && (this.#released[ordinal >>> 3]! & (1 << (ordinal & 7))) !== 0;
  }

  /** Whether anything at or behind `ordinal` may have been released. */
  hasHolesFrom(ordinal: number): boolean {
    return this.#released !== null || ordinal < this.releasedPrefix;
  }

  /** Releases those of the offsets [first, end) that are here; returns how many were not released before. */
  release(first: number, end: number): number {
    if (first <= this.firstOffset && end >= this.endOffset) {
      const released = this.live;
      this.live = 0;
      this.releasedPrefix = this.count;
      this.#released = null;
      return released;
    }
    let released = 0;
    let segment = Math.max(0, this.#segmentAt(first, 0));
    for (; segment < this.#segments && this.#rows[segment * ROW]! < end; segment++) {
      const base = this.#rows[segment * ROW]!;
      const baseOrdinal = this.#rows[segment * ROW + 1]!;
      const length = this.ordinalAfter(segment) - baseOrdinal;
      const from = Math.max(0, first - base);
      const to = Math.min(length, end - base);
      if (from < to) released += this.#releaseOrdinals(baseOrdinal + from, baseOrdinal + to);
    }
    this.live -= released;
    return released;
  }

  /** How many whole entries from `byte` of `entries` fit behind the others. */
  static fitting(entries: Uint8Array, byte: number, room: number): { count: number; end: number } {
    return spanWithin(entries, byte, entries.length, Number.MAX_SAFE_INTEGER, room, 0);
  }

  /** The byte where a message begins, or where the last one ends. */
  #byteOf(ordinal: number): number {
    if (ordinal === this.count) return this.used;
    const row = this.#segmentAt(ordinal, 1) * ROW;
    return skipEntries(this.bytes, this.#rows[row + 2]!, ordinal - this.#rows[row + 1]!);
  }

  #opensSegment(offset: number): boolean {
    if (this.count === 0 || offset !== this.endOffset) return true;
    const row = (this.#segments - 1) * ROW;
    return (
      this.count - this.#rows[row + 1]! >= SEGMENT_MESSAGES ||
      this.used - this.#rows[row + 2]! >= SEGMENT_BYTES
    );
  }

  #openSegment(offset: number): void {
    const row = this.#segments * ROW;
    if (row === this.#rows.length) {
      const grown = new Float64Array(this.#rows.length * 2);
      grown.set(this.#rows);
      this.#rows = grown;
    }
    this.#rows[row] = offset;
    this.#rows[row + 1] = this.count;
    this.#rows[row + 2] = this.used;
    this.#segments += 1;
  }

  /** Divides the large segment of one batch: where a message in its middle is looked for, others will be, too. */
  #divide(segment: number, length: number): void {
    const more = Math.ceil(length / SEGMENT_MESSAGES) - 1;
    const end = segment * ROW;
    const rows = new Float64Array(Math.max(this.#rows.length, (this.#segments + more) * ROW));
    rows.set(this.#rows.subarray(0, end));
    rows.set(this.#rows.subarray(end + ROW, this.#segments * ROW), end + (more + 1) * ROW);
    let byte = this.#rows[end + 2]!;
    for (let part = 0; part <= more; part++) {
      const ahead = part * SEGMENT_MESSAGES;
      rows[end + part * ROW] = this.#rows[end]! + ahead;
      rows[end + part * ROW + 1] = this.#rows[end + 1]! + ahead;
      rows[end + part * ROW + 2] = byte;
      if (part < more) byte = skipEntries(this.bytes, byte, SEGMENT_MESSAGES);
    }
    this.#rows = rows;
    this.#segments += more;
  }

  /** The last segment whose first value in `column` is at most `value`; −1 if there is none. */
  #segmentAt(value: number, column: number): number {
    let low = 0;
    let high = this.#segments;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#rows[middle * ROW + column]! <= value) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }

  #releaseOrdinals(from: number, to: number): number {
    if (from <= this.releasedPrefix && this.#released === null) {
      const released = Math.max(0, to - this.releasedPrefix);
      this.releasedPrefix = Math.max(this.releasedPrefix, to);
      return released;
    }
    this.#released = withRoomFor(this.#released, this.count);
    let released = 0;
    for (let ordinal = Math.max(from, this.releasedPrefix); ordinal < to; ordinal++) {
      const bit = 1 << (ordinal & 7);
      if ((this.#released[ordinal >>> 3]! & bit) !== 0) continue;
      this.#released[ordinal >>> 3]! |= bit;
      released += 1;
    }
    while (this.releasedPrefix < this.count && this.isReleased(this.releasedPrefix)) this.releasedPrefix += 1;
    return released;
  }
}

function withRoomFor(bits: Uint8Array | null, count: number): Uint8Array {
  const needed = (count + 7) >>> 3;
  if (bits !== null && bits.length >= needed) return bits;
  const grown = new Uint8Array(Math.max(needed, 2 * (bits?.length ?? 0)));
  if (bits !== null) grown.set(bits);
  return grown;
}

/** Moves `place` over what is released, to the end of its segment at most. */
export function skipReleased(slab: Slab, place: Place): void {
  const end = slab.ordinalAfter(place.segment);
  while (place.ordinal < end && slab.isReleased(place.ordinal)) {
    place.ordinal += 1;
    place.byte = entryEnd(slab.bytes, place.byte);
  }
}

/** How many messages from `place` live, up to the end of its segment, and at most `most`. */
export function liveRun(slab: Slab, place: Place, holes: boolean, most: number): number {
  const end = Math.min(slab.ordinalAfter(place.segment), place.ordinal + most);
  if (!holes) return end - place.ordinal;
  let ordinal = place.ordinal;
  while (ordinal < end && !slab.isReleased(ordinal)) ordinal += 1;
  return ordinal - place.ordinal;
}
