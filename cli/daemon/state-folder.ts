/**
 * The folder of one server, with its PID file and its log. The PID file decides which process gets a signal, so
 * nobody but the folder's owner may be able to write there.
 */
import { lstatSync, mkdirSync } from "node:fs";
import { TinyMQError } from "../../src/errors.ts";

/** Makes the folder, private, if there is none, and checks it. Throws like `checkStateFolder`. */
export function makeStateFolder(folder: string): void {
  if (checkStateFolder(folder)) return;
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  checkStateFolder(folder);
}

/**
 * Whether the folder exists. Throws FAILED_PRECONDITION if it is a symbolic link or no folder, and
 * PERMISSION_DENIED if it belongs to, or can be written by, someone else.
 */
export function checkStateFolder(folder: string): boolean {
  const found = lstatSync(folder, { throwIfNoEntry: false });
  if (!found) return false;
  if (found.isSymbolicLink()) {
    throw refused("FAILED_PRECONDITION", folder, "is a symbolic link; name the folder itself in TINYMQ_HOME");
  }
  if (!found.isDirectory()) throw refused("FAILED_PRECONDITION", folder, "is not a folder");
  if (process.getuid && found.uid !== process.getuid()) {
    throw refused("PERMISSION_DENIED", folder, "belongs to another user; name your own in TINYMQ_HOME");
  }
  if ((found.mode & 0o022) !== 0) {
    throw refused("PERMISSION_DENIED", folder, `can be written by others; run: chmod 700 '${folder}'`);
  }
  return true;
}

function refused(
  code: "FAILED_PRECONDITION" | "PERMISSION_DENIED",
  folder: string,
  why: string,
): TinyMQError {
  return new TinyMQError(code, `the state folder ${folder} ${why}`);
}

/** The files of a state folder. */
export const PID_FILE = "tinymq.pid";
export const STARTING_FILE = "tinymq.starting";
/** The error of the last stop; no file if there was none. */
export const STOP_ERROR_FILE = "tinymq.stop-error";
export const LOG_FILE = "tinymq.log";
