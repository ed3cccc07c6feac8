/**
 * The contract of a journal: where a broker writes what must survive it, before it says that it is done. A journal is
 * a list of records with the numbers 1, 2, 3 …, written at one end and trimmed at the other; what they mean is the
 * broker's matter.
 *
 * Its user keeps to this: `replay` first and once, then one `write` at a time, of the number that comes next. A write
 * that failed is tried again with the same number and bytes.
 */
import type { TinyMQError } from "../errors.ts";

/** What a journal takes up, and how it does. */
export interface JournalFigures {
  /** Bytes that it holds on disk. */
  readonly bytes: number;
  /** The number of the oldest record that is kept, and of the one that is written next. */
  readonly first: number;
  readonly next: number;
}

export interface Journal {
  readonly figures: JournalFigures;
  /**
   * Resolves with the reason once nothing more can be written: it belongs to somebody else now, or has failed so that
   * only a restart and a replay can tell what is safe.
   */
  readonly lost: Promise<TinyMQError>;
  /**
   * Hands out all records that are kept, in order. Throws DATA_LOSS where one is missing or damaged; nothing was
   * changed then.
   */
  replay(take: (record: Uint8Array, number: number) => void): Promise<void>;
  /**
   * Writes a record; resolves once it is safe. Rejects with RESOURCE_EXHAUSTED if there is no room: it was not written.
   * Rejects with UNAVAILABLE if it may or may not have been.
   */
  write(record: Uint8Array, number: number): Promise<void>;
  /** Forgets the records below a number, all of which are safe; may go on between writes. */
  trim(below: number): Promise<void>;
  /** Ends. What is being written is finished before. */
  close(): Promise<void>;
}
