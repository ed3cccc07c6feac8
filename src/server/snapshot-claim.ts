/**
 * Keeps two servers from using one snapshot file, where the second would overwrite the first one's messages: a server
 * holds a lock on FILE.lock from its start to its end. The kernel gives it up for a process that is killed, and knows
 * it across containers. The file stays: one that is removed could be locked by two.
 */
import type { Database } from "bun:sqlite";
import { existsSync, lstatSync } from "node:fs";
import { dirname } from "node:path";
import { messageOf, TinyMQError } from "../errors.ts";

/**
 * Claims the snapshot `path` for a server of this process; the returned function gives it up, and may be called
 * twice. Rejects with FAILED_PRECONDITION if another server has it, or if it cannot be claimed.
 */
export async function claimSnapshot(path: string): Promise<() => void> {
  const file = `${path}.lock`;
  const refused = (what: string, cause?: unknown) =>
    new TinyMQError("FAILED_PRECONDITION", `snapshot: ${what}`, { cause });
  const folder = dirname(path);
  if (!existsSync(folder)) throw refused(`the folder ${folder} does not exist: create it`);
  if (lstatSync(file, { throwIfNoEntry: false })?.isFile() === false) {
    throw refused(`${file}, which tells whether ${path} is in use, is not a file: move it elsewhere`);
  }
  // Loaded only here: most servers have no snapshot.
  const { Database: SQLite } = await import("bun:sqlite");
  let database: Database | null = null;
  try {
    // SQLite is what Bun has that can lock a file. Nothing is written to it.
    database = new SQLite(file, { create: true });
    // Else a journal lies beside it.
    database.run("PRAGMA journal_mode = MEMORY");
    database.run("BEGIN EXCLUSIVE");
  } catch (cause) {
    database?.close();
    const { code } = cause as { code?: unknown };
    if (code === "SQLITE_BUSY") {
      throw refused(`${path} is in use by another server: stop that one, or choose another file`, cause);
    }
    throw refused(`cannot claim ${path} with ${file}: ${messageOf(cause)}`, cause);
  }
  return () => database.close();
}
