/** A journal in a SQLite file, written by a thread of its own: the event loop never waits for the disk. */
import { TinyMQError } from "../../errors.ts";
import { Fifo } from "../../wire/fifo.ts";
import type { Journal, JournalFigures } from "../journal.ts";
import type { Sync } from "./store.ts";
import type { Answer, Request } from "./worker.ts";

interface Pending {
  readonly resolve: (answer: Answer) => void;
  readonly reject: (error: TinyMQError) => void;
}

export class SqliteJournal implements Journal {
  readonly #worker: Worker;
  /** Requests without an answer, the oldest first: answers come in their order. */
  readonly #pending = new Fifo<Pending>();
  readonly lost: Promise<TinyMQError>;
  #lose!: (why: TinyMQError) => void;
  figures: JournalFigures = { bytes: 0, first: 1, next: 1 };

  private constructor() {
    this.lost = new Promise((resolve) => {
      this.#lose = resolve;
    });
    this.#worker = new Worker(new URL("./worker.ts", import.meta.url));
    this.#worker.onmessage = ({ data }: MessageEvent<Answer>) => this.#answered(data);
    this.#worker.onerror = (event) => this.#failed(event.message);
  }

  /**
   * Opens a file, or makes it. Throws FAILED_PRECONDITION for one that is not a journal, that a newer version wrote, or
   * that another process has open, and UNAVAILABLE where it cannot be opened. It is unchanged then.
   */
  static async open(path: string, sync: Sync): Promise<SqliteJournal> {
    const journal = new SqliteJournal();
    try {
      await journal.#ask({ kind: "open", path, sync });
    } catch (error) {
      journal.#worker.terminate();
      throw error;
    }
    return journal;
  }

  async replay(take: (record: Uint8Array, number: number) => void): Promise<void> {
    for (let from = this.figures.first; from < this.figures.next; ) {
      const { records } = await this.#ask({ kind: "read", from });
      for (const { record, number } of records) take(record, number);
      from += records.length;
    }
  }

  async write(record: Uint8Array, number: number): Promise<void> {
    try {
      await this.#ask({ kind: "write", record, number });
    } catch (thrown) {
      const error = thrown as TinyMQError;
      // Whether it is on the disk, and what else is not, only a replay can tell.
      if (error.code !== "RESOURCE_EXHAUSTED") this.#lose(error);
      throw error;
    }
  }

  async trim(below: number): Promise<void> {
    let before: number;
    do {
      before = this.figures.first;
      await this.#ask({ kind: "trim", below });
    } while (this.figures.first > before);
  }

  async close(): Promise<void> {
    await this.#ask({ kind: "close" });
    this.#worker.terminate();
  }

  #ask(request: Request): Promise<Answer> {
    return new Promise((resolve, reject) => {
      this.#pending.push({ resolve, reject });
      this.#worker.postMessage(request);
    });
  }

  #answered(answer: Answer): void {
    const { first, next, bytes, error } = answer;
    if (bytes > 0) this.figures = { first, next, bytes };
    const pending = this.#pending.shift();
    if (error === null) pending?.resolve(answer);
    else pending?.reject(new TinyMQError(error.code, error.message));
  }

  /** The thread is gone. */
  #failed(why: string): void {
    const error = new TinyMQError("UNAVAILABLE", `journal: its thread ended: ${why}`);
    this.#lose(error);
    for (const { reject } of this.#pending.drain()) reject(error);
  }
}
