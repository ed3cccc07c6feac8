/**
 * The file that says which server is running. At most one process holds it, however many try at once.
 *
 * Always holds:
 * - Readers see no file or a whole one: it is written under another name and linked to its own.
 * - No file is unlinked by its name, which may be another file's by then. It is renamed to a unique name first
 *   ("set aside"), checked there, and put back if it is not the one that was meant.
 * - While a live holder's file is set aside, a process that takes the free name finds it and gives the name up.
 */
import {
  closeSync,
  constants,
  linkSync,
  openSync,
  readdirSync,
  renameSync,
  unlinkSync,
  writeSync,
} from "node:fs";
import { basename, dirname } from "node:path";
import { TinyMQError } from "../../src/errors.ts";
import { isLive, isSameServer, readRecord, type ServerRecord } from "./server-record.ts";

/** A change of the holder takes a few ms; after this long (ms) something is wrong. */
const PATIENCE_MS = 5_000;

export class PidFile {
  readonly path: string;
  readonly #folder: string;
  readonly #name: string;

  constructor(path: string) {
    this.path = path;
    this.#folder = dirname(path);
    this.#name = basename(path);
  }

  /** The live holder, or null. Throws FAILED_PRECONDITION if the file is no PID file. */
  holder(): ServerRecord | null {
    // Looked for by its name twice: it may have been set aside at the first look, and back at the second.
    return this.liveHere() ?? this.liveAside(null) ?? this.liveHere();
  }

  /** Takes the file for `record`, from a dead holder if there is one. Returns null, or the live holder. */
  claim(record: ServerRecord): ServerRecord | null {
    const draft = this.uniqueName("new");
    writeDraft(draft, record);
    try {
      const deadline = Date.now() + PATIENCE_MS;
      while (Date.now() < deadline) {
        const holder = this.holder();
        if (holder !== null && !isSameServer(holder, record)) return holder;
        if (holder === null) this.removeStale();
        if (holder === null && !linkIfFree(draft, this.path)) continue;
        if (this.liveAside(record) === null) return null;
        this.release(record);
        Bun.sleepSync(1 + Math.random() * 10);
      }
    } finally {
      unlinkIfThere(draft);
    }
    throw new TinyMQError("ABORTED", `${this.path} is taken and released all the time; try again`);
  }

  /** Removes the file if it is `record`'s. */
  release(record: ServerRecord): void {
    this.remove((found) => isSameServer(found, record));
  }

  /** Removes what dead processes left: the file, and files set aside. Returns whether the file was there. */
  removeStale(): boolean {
    const removed = this.remove((found) => !isLive(found));
    for (const path of this.setAside()) {
      const record = readRecord(path);
      if (record !== null && !isLive(record)) unlinkIfThere(path);
    }
    return removed;
  }

  private liveHere(): ServerRecord | null {
    const record = readRecord(this.path);
    return record !== null && isLive(record) ? record : null;
  }

  private remove(meant: (found: ServerRecord) => boolean): boolean {
    const found = readRecord(this.path);
    if (found === null || !meant(found)) return false;
    const aside = this.uniqueName("aside");
    if (!unless("ENOENT", () => renameSync(this.path, aside))) return false;
    const moved = readRecord(aside);
    if (moved === null || !meant(moved)) {
      if (moved !== null) this.putBack(aside, moved);
      return false;
    }
    unlinkIfThere(aside);
    return true;
  }

  /** The name may have been taken in the meantime; its new holder then finds `aside` and gives it up. */
  private putBack(aside: string, record: ServerRecord): void {
    const deadline = Date.now() + PATIENCE_MS;
    while (Date.now() < deadline && isLive(record) && !linkIfFree(aside, this.path)) {
      const rival = readRecord(this.path);
      if (rival !== null && isSameServer(rival, record)) break;
      if (rival !== null && !isLive(rival)) this.remove((found) => !isLive(found));
      Bun.sleepSync(1);
    }
    const back = readRecord(this.path);
    // Otherwise the file stays set aside: readers look there too.
    if (!isLive(record) || (back !== null && isSameServer(back, record))) unlinkIfThere(aside);
  }

  /** A live holder whose file is set aside just now, other than `self`. */
  private liveAside(self: ServerRecord | null): ServerRecord | null {
    for (const path of this.setAside()) {
      const record = readRecord(path);
      if (record === null || (self !== null && isSameServer(record, self))) continue;
      if (isLive(record)) return record;
    }
    return null;
  }

  private setAside(): string[] {
    const start = `${this.#name}.aside-`;
    return listIfThere(this.#folder)
      .filter((name) => name.startsWith(start))
      .map((name) => `${this.#folder}/${name}`);
  }

  /** Not a secret: `crypto` would make the process 0.4 MiB larger. */
  private uniqueName(kind: "new" | "aside"): string {
    return `${this.path}.${kind}-${process.pid}-${Date.now()}-${Math.random().toString(36).slice(2)}`;
  }
}

function writeDraft(path: string, record: ServerRecord): void {
  const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
  const descriptor = openSync(path, flags, 0o600);
  try {
    writeSync(descriptor, `${JSON.stringify(record, null, 2)}\n`);
  } finally {
    closeSync(descriptor);
  }
}

function linkIfFree(from: string, to: string): boolean {
  return unless("EEXIST", () => linkSync(from, to));
}

function unlinkIfThere(path: string): void {
  unless("ENOENT", () => unlinkSync(path));
}

function listIfThere(folder: string): string[] {
  let names: string[] = [];
  unless("ENOENT", () => {
    names = readdirSync(folder);
  });
  return names;
}

/** Whether `action` worked; false if it failed with `code`. Any other failure is thrown. */
function unless(code: string, action: () => void): boolean {
  try {
    action();
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === code) return false;
    throw error;
  }
}
