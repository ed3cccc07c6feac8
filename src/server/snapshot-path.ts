/**
 * The path of a snapshot and the files beside it: FILE.writing-PID while it is written, FILE.written-PID if it could
 * not replace FILE, FILE.restored once its messages are back in memory, FILE.damaged.
 *
 * Always holds: only what begins like a snapshot is renamed, overwritten or removed, FILE and those beside it alike.
 * FILE and FILE.restored are replaced; the others get a number, as in FILE.damaged.1, if their name is taken.
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
import { TinyMQError, toTinyMQError } from "../errors.ts";
import { openRegularFile } from "./files.ts";

export const MAGIC = new TextEncoder().encode("tinymq-1");
/** What the snapshots of all versions begin with. */
const FAMILY = /^tinymq-\d/;
/** The highest number added to a name that is taken; one digit. */
const MAX_NUMBER = 9;

/** Opens the snapshot at `path`; null if there is no file. Throws FAILED_PRECONDITION if it is not a snapshot. */
export function openSnapshot(path: string): number | null {
  try {
    const file = openRegularFile(path);
    if (file !== null) requireMagic(file, path);
    return file;
  } catch (cause) {
    const why = toTinyMQError(cause).message;
    const what = `snapshot: ${why}. It was left unchanged: move it elsewhere, or choose another file`;
    throw new TinyMQError("FAILED_PRECONDITION", what, { cause });
  }
}

function requireMagic(file: number, path: string): void {
  const begin = readBegin(file);
  if (begin.equals(MAGIC)) return;
  closeSync(file);
  const why = FAMILY.test(begin.toString("latin1"))
    ? "was written by another version of tinyMQ: start that version"
    : "is not a tinyMQ snapshot";
  throw new TinyMQError("FAILED_PRECONDITION", `${path} ${why}`);
}

/** The first bytes: as many as `MAGIC` has, fewer if the file is shorter. */
function readBegin(file: number): Buffer {
  const begin = Buffer.alloc(MAGIC.length);
  return begin.subarray(0, readSync(file, begin, 0, begin.length, 0));
}

/** Throws FAILED_PRECONDITION if anything but a snapshot is there: it is not ours to rename or replace. */
function requireOurs(path: string): void {
  const file = openSnapshot(path);
  if (file !== null) closeSync(file);
}

/** `path`, or with the first number that is free. Throws FAILED_PRECONDITION if none is. */
function freeName(path: string): string {
  for (let number = 0; number <= MAX_NUMBER; number++) {
    const name = number === 0 ? path : `${path}.${number}`;
    if (lstatSync(name, { throwIfNoEntry: false }) === undefined) return name;
  }
  const taken = `${path} and ${path}.1 to ${path}.${MAX_NUMBER}`;
  throw new TinyMQError("FAILED_PRECONDITION", `snapshot: ${taken} exist: move them elsewhere`);
}

/**
 * Removes unfinished snapshots of dead processes. Throws FAILED_PRECONDITION if no snapshot could be written to
 * `path`, or a restored one not be renamed: better to fail at the start than at the stop.
 */
export function preparePath(path: string): void {
  try {
    requireOurs(`${path}.restored`);
    removeUnfinished(path);
    const { file, unfinished } = createUnfinished(path);
    closeSync(file);
    rmSync(unfinished);
    freeName(`${path}.written-${process.pid}`);
  } catch (cause) {
    if (cause instanceof TinyMQError) throw cause;
    const what = `snapshot: ${path} could not be written: ${String(cause)}`;
    throw new TinyMQError("FAILED_PRECONDITION", what, { cause });
  }
}

/** Creates an empty file beside `path`, mode 0600, opened for writing. */
export function createUnfinished(path: string): { file: number; unfinished: string } {
  const unfinished = freeName(`${path}.writing-${process.pid}`);
  return { file: openSync(unfinished, "wx", 0o600), unfinished };
}

/**
 * Moves a finished snapshot to `path`. Throws FAILED_PRECONDITION if that fails, as when a file there is not a
 * snapshot; the error says where the new snapshot is.
 */
export function placeSnapshot(unfinished: string, path: string): void {
  try {
    requireOurs(path);
    renameSync(unfinished, path);
  } catch (cause) {
    // Under another name, since the next start removes unfinished files.
    const kept = freeName(`${path}.written-${process.pid}`);
    renameSync(unfinished, kept);
    const what = `${toTinyMQError(cause).message}. The messages are in ${kept}: start with that file`;
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
    // It may have come since the start looked.
    requireOurs(retired);
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
    requireOurs(path);
    renameSync(retired, path);
    return path;
  } catch {
    return retired;
  }
}

function notRetired(path: string, lies: string, cause: unknown): TinyMQError {
  const why = `could not be renamed durably (${toTinyMQError(cause).message})`;
  const what = `${why}, so a crash could bring back consumed messages. The messages are in ${lies}`;
  return new TinyMQError("FAILED_PRECONDITION", `snapshot: ${path} ${what}`, { cause });
}

/** Renames a damaged snapshot; returns its new path. Throws if it was replaced meanwhile, or no name is free. */
export function setAside(path: string): string {
  requireOurs(path);
  const aside = freeName(`${path}.damaged`);
  renameSync(path, aside);
  return aside;
}

function removeUnfinished(path: string): void {
  const folder = dirname(path);
  const begin = `${basename(path)}.writing-`;
  for (const name of readdirSync(folder)) {
    const numbered = name.startsWith(begin) ? name.slice(begin.length) : "";
    const pid = /^([1-9]\d{0,9})(\.\d)?$/.exec(numbered)?.[1];
    if (pid === undefined || isAlive(Number(pid))) continue;
    const unfinished = join(folder, name);
    if (lstatSync(unfinished).isFile() && isUnfinished(unfinished)) rmSync(unfinished, { force: true });
  }
}

/** Whether it begins like a snapshot, as far as it was written: a killed process may have left less than `MAGIC`. */
function isUnfinished(path: string): boolean {
  const file = openRegularFile(path);
  if (file === null) return false;
  try {
    const begin = readBegin(file);
    return begin.equals(MAGIC.subarray(0, begin.length));
  } finally {
    closeSync(file);
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

/** Makes a rename in the folder of `path` durable. */
function syncFolder(path: string): void {
  const folder = openSync(dirname(path), constants.O_RDONLY);
  try {
    fsyncSync(folder);
  } finally {
    closeSync(folder);
  }
}
