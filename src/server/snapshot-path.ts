/**
 * The path of a snapshot and the files beside it: FILE.writing-PID while it is written, FILE.restored once it
 * is used up, FILE.damaged.
 *
 * Always holds: a file that does not begin as a snapshot is neither renamed nor written over.
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
/** What snapshots of every version begin with. */
const FAMILY = /^tinymq-\d/;

/** The snapshot at `path`, opened; null where nothing has that name. Throws FAILED_PRECONDITION for what is none. */
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
    ? "was written by another version of tinyMQ: start that one"
    : "is no snapshot of tinyMQ: name another file";
  throw new TinyMQError("FAILED_PRECONDITION", `${path} ${why}. It was left as it is`);
}

/**
 * Removes what dead processes left of snapshots that they did not finish. Throws FAILED_PRECONDITION if no
 * snapshot could be written to `path`: better now than at the stop.
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

/** A new, empty file beside `path`, mode 0600, opened for writing. */
export function createUnfinished(path: string): { file: number; unfinished: string } {
  const unfinished = `${path}.writing-${process.pid}`;
  rmSync(unfinished, { force: true });
  const { O_WRONLY, O_CREAT, O_EXCL, O_NOFOLLOW } = constants;
  return { file: openSync(unfinished, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600), unfinished };
}

/**
 * Puts a whole snapshot in its place. Throws FAILED_PRECONDITION if something else lies there by now; the
 * error says where the snapshot is then.
 */
export function placeSnapshot(unfinished: string, path: string): void {
  try {
    const older = openSnapshot(path);
    if (older !== null) closeSync(older);
    renameSync(unfinished, path);
  } catch (cause) {
    // Another name, for the next start removes what is unfinished.
    const kept = `${path}.written-${process.pid}`;
    renameSync(unfinished, kept);
    const what = `${messageOf(cause)}. The messages are in ${kept}: start with that file`;
    throw new TinyMQError("FAILED_PRECONDITION", what, { cause });
  }
  syncFolder(path);
}

/**
 * The snapshot was restored and the port is ours: a crash must not bring back what is consumed from now on.
 * Throws FAILED_PRECONDITION where that cannot be made sure; the snapshot is where it was then.
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

/** Where the snapshot lies then. */
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
    `snapshot: ${path} could not be renamed for good (${messageOf(cause)}), so a crash could bring back what ` +
      `is consumed. The messages are in ${lies}`,
    { cause },
  );
}

/** A damaged snapshot is kept aside; returns where. */
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
    // EPERM: there is such a process, and it is somebody else's.
    return (error as { code?: string }).code !== "ESRCH";
  }
}

function messageOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown);
}

/** Makes a rename in the folder of `path` last. */
function syncFolder(path: string): void {
  const folder = openSync(dirname(path), constants.O_RDONLY);
  try {
    fsyncSync(folder);
  } finally {
    closeSync(folder);
  }
}
