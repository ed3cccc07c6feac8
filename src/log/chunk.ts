/** What one read of a log finds. */

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

/** Gathers a chunk, piece by piece in order of offset. */
export class ChunkBuilder {
  readonly #runs: OffsetRun[] = [];
  readonly #parts: Uint8Array[] = [];
  count = 0;
  byteLength = 0;

  /** Adds `count` messages from `offset` on, whose entries are `bytes[start, end)`. */
  add(offset: number, count: number, bytes: Uint8Array, start: number, end: number): void {
    const run = this.#runs.at(-1);
    if (run !== undefined && run.firstOffset + run.count === offset) {
      this.#runs[this.#runs.length - 1] = { firstOffset: run.firstOffset, count: run.count + count };
    } else {
      this.#runs.push({ firstOffset: offset, count });
    }
    const part = this.#parts.at(-1);
    if (part !== undefined && part.byteOffset + part.length === start + bytes.byteOffset) {
      this.#parts[this.#parts.length - 1] = bytes.subarray(start - part.length, end);
    } else {
      this.#parts.push(bytes.subarray(start, end));
    }
    this.count += count;
    this.byteLength += end - start;
  }

  /** The chunk; null if nothing was added. */
  finish(): Chunk | null {
    const last = this.#runs.at(-1);
    if (last === undefined) return null;
    const { count, byteLength } = this;
    const nextOffset = last.firstOffset + last.count;
    return { runs: this.#runs, parts: this.#parts, count, byteLength, nextOffset };
  }
}
