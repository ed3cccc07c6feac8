/**
 * A journal's records in a SQLite file. Every call blocks its thread, so the server uses it from a worker.
 *
 * Always holds: the records are those from `first` to below `next`; nobody else can open the file meanwhile.
 */
import { Database, SQLiteError, type Statement } from "bun:sqlite";
import { lstatSync } from "node:fs";
import { messageOf, TinyMQError } from "../../errors.ts";
import { MiB } from "../../wire/limits.ts";
import { seal, unseal } from "../seal.ts";

/** How much a record that was acknowledged survives: a power cut, or the end of the process. */
export type Sync = "full" | "normal";

/** "tmqJ": marks a file as ours. */
const APPLICATION_ID = 0x746d714a;
const SCHEMA = 1;
/** Records that are read at once: whoever replays them holds no more. */
const READ_BYTES = MiB;
const READ_RECORDS = 1_024;
/** Records that are trimmed at once, so that writes are not kept waiting. */
const TRIM_RECORDS = 256;

export interface Numbered {
  readonly number: number;
  readonly record: Uint8Array;
}

interface Row {
  readonly number: number;
  readonly sealed: Uint8Array;
}

export class Store {
  readonly #database: Database;
  readonly #insert: Statement<unknown, [number, Uint8Array]>;
  readonly #select: Statement<Row, [number, number]>;
  readonly #path: string;
  first = 1;
  next = 1;

  /**
   * Opens a file, or makes it. Throws FAILED_PRECONDITION for one that is not a journal, that a newer version wrote, or
   * that another process has open; PERMISSION_DENIED and UNAVAILABLE where it cannot be opened. It is unchanged then.
   */
  constructor(path: string, sync: Sync) {
    this.#path = path;
    checkKind(path);
    this.#database = this.#guard("open", () => new Database(path, { create: true, strict: true }));
    try {
      this.#guard("open", () => this.#prepare(sync));
    } catch (error) {
      this.#database.close();
      throw error;
    }
    this.#insert = this.#database.prepare("INSERT INTO record (number, sealed) VALUES (?, ?)");
    this.#select = this.#database.prepare(
      "SELECT number, sealed FROM record WHERE number >= ? ORDER BY number LIMIT ?",
    );
  }

  /** Bytes of what is in use. */
  get bytes(): number {
    const pages = (this.#ask("PRAGMA page_count") ?? 0) - (this.#ask("PRAGMA freelist_count") ?? 0);
    return pages * (this.#ask("PRAGMA page_size") ?? 0);
  }

  /** The first records from a number on. Throws DATA_LOSS where one is missing or damaged. */
  read(from: number): Numbered[] {
    const found: Numbered[] = [];
    let byteLength = 0;
    this.#guard("read", () => {
      for (const { number, sealed } of this.#select.iterate(from, READ_RECORDS)) {
        const expected = from + found.length;
        if (number !== expected) throw this.#missing(expected);
        found.push({ number, record: unseal(sealed, number) });
        byteLength += sealed.length;
        if (byteLength >= READ_BYTES) break;
      }
    });
    if (found.length === 0 && from < this.next) throw this.#missing(from);
    return found;
  }

  /**
   * Writes a record, which is safe when this returns. One that is there already may be written again. Throws
   * RESOURCE_EXHAUSTED where there is no room for it, UNAVAILABLE where it may or may not have been written.
   */
  write(record: Uint8Array, number: number): void {
    const sealed = seal(record, number);
    if (number === this.next - 1 && this.#has(number, sealed)) return;
    if (number !== this.next) {
      throw new TinyMQError("INTERNAL", `record ${number} was to be written, and ${this.next} comes next`);
    }
    this.#guard("write to", () => this.#insert.run(number, sealed));
    this.next = number + 1;
  }

  /** Forgets some of the records below a number, but never the newest, which tells what comes next. */
  trim(below: number): void {
    const end = Math.min(below, this.next - 1, this.first + TRIM_RECORDS);
    if (end <= this.first) return;
    this.#guard("trim", () => this.#database.run("DELETE FROM record WHERE number < ?", [end]));
    this.first = end;
  }

  close(): void {
    // SQLite closes a file only once no statement is left.
    this.#insert.finalize();
    this.#select.finalize();
    this.#database.close();
  }

  #prepare(sync: Sync): void {
    const database = this.#database;
    database.run("PRAGMA locking_mode = EXCLUSIVE");
    const isNew = (this.#ask("PRAGMA schema_version") ?? 0) === 0;
    if (!isNew && (this.#ask("PRAGMA application_id") ?? 0) !== APPLICATION_ID) throw this.#foreign();
    const schema = this.#ask("PRAGMA user_version") ?? 0;
    if (schema > SCHEMA) {
      throw new TinyMQError(
        "FAILED_PRECONDITION",
        `journal: ${this.#path} was written by a newer version of tinyMQ (schema ${schema}, this one knows ${SCHEMA}). ` +
          "It was left unchanged: start that version",
      );
    }
    database.run("PRAGMA journal_mode = WAL");
    database.run(`PRAGMA synchronous = ${sync === "full" ? "FULL" : "NORMAL"}`);
    // Where fsync does not reach the disk itself: macOS.
    database.run(`PRAGMA fullfsync = ${sync === "full"}`);
    if (isNew) {
      database.transaction(() => {
        database.run("CREATE TABLE record (number INTEGER PRIMARY KEY, sealed BLOB NOT NULL) STRICT");
        database.run(`PRAGMA application_id = ${APPLICATION_ID}`);
        database.run(`PRAGMA user_version = ${SCHEMA}`);
      })();
    }
    this.#find();
  }

  /** Finds out which records there are. */
  #find(): void {
    this.first = this.#ask("SELECT min(number) FROM record") ?? 1;
    this.next = (this.#ask("SELECT max(number) FROM record") ?? 0) + 1;
  }

  /** The one number that a statement gives. */
  #ask(sql: string): number | null {
    const statement = this.#database.prepare<Record<string, number | null>, []>(sql);
    try {
      return Object.values(statement.get() ?? {})[0] ?? null;
    } finally {
      statement.finalize();
    }
  }

  #has(number: number, sealed: Uint8Array): boolean {
    const [found] = this.#guard("read", () => this.#select.all(number, 1));
    return found !== undefined && Buffer.compare(found.sealed, sealed) === 0;
  }

  #missing(number: number): TinyMQError {
    return new TinyMQError("DATA_LOSS", `journal: record ${number} is missing in ${this.#path}`);
  }

  #foreign(cause?: unknown): TinyMQError {
    return new TinyMQError(
      "FAILED_PRECONDITION",
      `journal: ${this.#path} is not a journal of tinyMQ. It was left unchanged: name another file`,
      { cause },
    );
  }

  /** Calls `run`, and says what an error of SQLite means. */
  #guard<T>(doing: string, run: () => T): T {
    try {
      return run();
    } catch (thrown) {
      throw thrown instanceof SQLiteError ? this.#meaning(doing, thrown) : thrown;
    }
  }

  #meaning(doing: string, cause: SQLiteError): TinyMQError {
    const code = cause.code ?? "";
    const path = this.#path;
    if (code === "SQLITE_NOTADB") return this.#foreign(cause);
    if (code.startsWith("SQLITE_BUSY")) {
      const what = "is in use by another process: stop that server, or name another file";
      return new TinyMQError("FAILED_PRECONDITION", `journal: ${path} ${what}`, { cause });
    }
    if (code === "SQLITE_FULL") {
      return new TinyMQError("RESOURCE_EXHAUSTED", `journal: there is no room for more in ${path}`, {
        cause,
      });
    }
    if (code.startsWith("SQLITE_CORRUPT")) {
      const what = `is damaged (${cause.message}). It was left unchanged`;
      return new TinyMQError("DATA_LOSS", `journal: ${path} ${what}`, { cause });
    }
    const what = `cannot ${doing} ${path}: ${messageOf(cause)} (${code})`;
    return new TinyMQError("UNAVAILABLE", `journal: ${what}`, { cause });
  }
}

/** Throws FAILED_PRECONDITION for what is there and not a file: SQLite would follow a link, or say little. */
function checkKind(path: string): void {
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (found === undefined || found.isFile()) return;
  const what = found.isSymbolicLink() ? "a link: name the file itself" : "not a file: name one";
  throw new TinyMQError("FAILED_PRECONDITION", `journal: ${path} is ${what}`);
}
