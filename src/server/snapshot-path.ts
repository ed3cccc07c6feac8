/**
 * The path of a snapshot and the files beside it: FILE.writing-PID while it is written, FILE.written-PID if it could
 * not replace FILE, FILE.restored once its messages are back in memory, FILE.damaged.
 *
 * Always holds: if FILE does not begin like a snapshot, it is neither renamed nor overwritten.
 */
import {
  closeSync,
  constants,
  fsyncSync,
  lstatSync,
  openSync,
  readdirSync,
  readSync,
  renameSync,
  rmSync,
} from "node:fs";
import { basename, dirname, join } from "node:path";
import { TinyMQError } from "../errors.ts";
import { openRegularFile } from "./files.ts";

export const MAGIC = new TextEncoder().encode("tinymq-1");
/** What the snapshots of all versions begin with. */
const FAMILY = /^tinymq-\d/;

/** Opens the snapshot at `path`; null if there is no file. Throws FAILED_PRECONDITION if it is not a snapshot. */
export function openSnapshot(path: string): number | null {
  try {
    const file = openRegularFile(path);
    if (file !== null) requireMagic(file, path);
    return file;
  } catch (cause) {
    throw new TinyMQError("FAILED_PRECONDITION", `snapshot: ${messageOf(cause)}`, { cause });
  }
}

function requireMagic(file: number, path: string): void {
  const begin = Buffer.alloc(MAGIC.length);
  const length = readSync(file, begin, 0, begin.length, 0);
  if (length === begin.length && begin.equals(MAGIC)) return;
  closeSync(file);
  const why = FAMILY.test(begin.toString("latin1"))
    ? "was written by another version of tinyMQ: start that version"
    : "is not a tinyMQ snapshot: choose another file";
  throw new TinyMQError("FAILED_PRECONDITION", `${path} ${why}. It was left unchanged`);
}

/**
 * Removes unfinished snapshots of dead processes. Throws FAILED_PRECONDITION if no snapshot could be written to
 * `path`: better to fail at the start than at the stop.
 */
export function preparePath(path: string): void {
  try {
    removeUnfinished(path);
    const { file, unfinished } = createUnfinished(path);
    closeSync(file);
    rmSync(unfinished);
  } catch (cause) {
    throw new TinyMQError("FAILED_PRECONDITION", `snapshot: ${path} could not be written: ${String(cause)}`, {
      cause,
    });
  }
}

/** Creates an empty file beside `path`, mode 0600, opened for writing. */
export function createUnfinished(path: string): { file: number; unfinished: string } {
  const unfinished = `${path}.writing-${process.pid}`;
  rmSync(unfinished, { force: true });
  const { O_WRONLY, O_CREAT, O_EXCL, O_NOFOLLOW } = constants;
  return { file: openSync(unfinished, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600), unfinished };
}

/**
 * Moves a finished snapshot to `path`. Throws FAILED_PRECONDITION if that fails, as when a file there is not a
 * snapshot; the error says where the new snapshot is.
 */
export function placeSnapshot(unfinished: string, path: string): void {
  try {
    const older = openSnapshot(path);
    if (older !== null) closeSync(older);
    renameSync(unfinished, path);
  } catch (cause) {
    // Under another name, since the next start removes unfinished files.
    const kept = `${path}.written-${process.pid}`;
    renameSync(unfinished, kept);
    const what = `${messageOf(cause)}. The messages are in ${kept}: start with that file`;
    throw new TinyMQError("FAILED_PRECONDITION", what, { cause });
  }
  syncFolder(path);
}

/**
 * Renames a restored snapshot, so that a crash does not bring back messages that were consumed since. Throws
 * FAILED_PRECONDITION if that fails; the error says where the snapshot is.
 */
export function retireSnapshot(path: string): void {
  const retired = `${path}.restored`;
  try {
    renameSync(path, retired);
  } catch (cause) {
    throw notRetired(path, path, cause);
  }
  try {
    syncFolder(path);
  } catch (cause) {
    throw notRetired(path, putBack(retired, path), cause);
  }
}

/** Undoes the rename if possible; returns where the snapshot is. */
function putBack(retired: string, path: string): string {
  try {
    renameSync(retired, path);
    return path;
  } catch {
    return retired;
  }
}

function notRetired(path: string, lies: string, cause: unknown): TinyMQError {
  return new TinyMQError(
    "FAILED_PRECONDITION",
    `snapshot: ${path} could not be renamed durably (${messageOf(cause)}), so a crash could bring back consumed ` +
      `messages. The messages are in ${lies}`,
    { cause },
  );
}

/** Renames a damaged snapshot; returns its new path. */
export function setAside(path: string): string {
  const aside = `${path}.damaged`;
  renameSync(path, aside);
  return aside;
}

function removeUnfinished(path: string): void {
  const folder = dirname(path);
  const begin = `${basename(path)}.writing-`;
  for (const name of readdirSync(folder)) {
    const pid = name.startsWith(begin) ? name.slice(begin.length) : "";
    if (!/^[1-9]\d{0,9}$/.test(pid) || isAlive(Number(pid))) continue;
    const unfinished = join(folder, name);
    if (lstatSync(unfinished).isFile()) rmSync(unfinished, { force: true });
  }
}

function isAlive(pid: number): boolean {
  if (pid === process.pid) return false;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // EPERM: the process exists, but belongs to another user.
    return (error as { code?: string }).code !== "ESRCH";
  }
}

function messageOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown);
}

/** Makes a rename in the folder of `path` durable. */
function syncFolder(path: string): void {
  const folder = openSync(dirname(path), constants.O_RDONLY);
  try {
    fsyncSync(folder);
  } finally {
    closeSync(folder);
  }
}
