/**
 * The contract of an engine: what makes logs and locks. The broker knows no more of an engine than this.
 *
 * Where a method returns `MaybePromise`, an engine in memory SHOULD answer with the value itself, and the
 * broker goes on in the same turn; another MAY answer with a promise. A rejected promise or a throw means:
 * not done, nothing changed.
 */

import type { MaybePromise } from "../wire/maybe-promise.ts";

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

/** Where one topic keeps its messages: an append-only run of encoded batches, addressed by offset. */
export interface Log {
  /** Messages in the log: appended and not released. */
  readonly count: number;
  /** Memory that the log holds on this machine, in bytes: capacity, not contents. */
  readonly memory: number;
  /** An offset above all that were given. Offsets are below 2^53. */
  readonly nextOffset: number;

  /** How much `memory` would grow if a batch of `byteLength` bytes were appended. */
  growth(byteLength: number): number;

  /**
   * Stores a checked batch of `count` messages and returns its runs. MUST copy the bytes before it
   * returns. MUST give offsets above all it gave before, and MUST keep the order of calls. The answer
   * means: stored. With `firstOffset` (a restore) the messages get consecutive offsets from there; it
   * MUST be at least `nextOffset`; an empty batch moves `nextOffset` and stores nothing.
   */
  append(batch: Uint8Array, count: number, firstOffset?: number): MaybePromise<readonly OffsetRun[]>;

  /**
   * Reads messages that were not released, in order, from the first at or above `fromOffset`: at most
   * `maxMessages`, at most `maxBytes` but at least one, none at or above `endOffset`. Null: there is none.
   */
  read(
    fromOffset: number,
    maxMessages: number,
    maxBytes: number,
    endOffset?: number,
  ): MaybePromise<Chunk | null>;

  /**
   * Removes messages of the offsets [firstOffset, firstOffset + count), whoever was there, and returns
   * how many it removed. MUST be idempotent. MUST free memory when a part of the log is all released.
   */
  release(firstOffset: number, count: number): MaybePromise<number>;

  /** Gives back what memory it can without losing a message. */
  compact(): void;

  /** The topic is gone: frees everything. Nothing is called afterwards. */
  drop(): MaybePromise<void>;
}

/** The right of this server to serve a topic's consumers. */
export interface Lock {
  /** Whether this server has the right now. MUST be true at most for one server at a time. */
  acquire(): MaybePromise<boolean>;
  /** Gives the right back. MUST be idempotent. */
  release(): MaybePromise<void>;
}

/** What makes logs and locks. */
export interface Engine {
  readonly name: string;
  /** The log of a topic, empty or as it was left. MUST NOT be called twice for one topic without `drop`. */
  openLog(topic: string): MaybePromise<Log>;
  openLock(topic: string): Lock;
  /** MUST be idempotent, and finish. */
  close(): MaybePromise<void>;
}
