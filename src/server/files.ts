/** Opening what an option names: a regular file, or an error at once. */
import { closeSync, constants, fstatSync, openSync, readFileSync, type Stats, statSync } from "node:fs";
import { TinyMQError } from "../errors.ts";
import { formatSize } from "../wire/units.ts";

/**
 * Opens a regular file for reading; null where nothing has that name. Throws FAILED_PRECONDITION for
 * anything else, and for a file that may not be read. Never waits: opening a FIFO would.
 */
export function openRegularFile(path: string): number | null {
  try {
    requireRegular(path, statSync(path));
    const file = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    try {
      // It may have been replaced since.
      requireRegular(path, fstatSync(file));
    } catch (error) {
      closeSync(file);
      throw error;
    }
    return file;
  } catch (cause) {
    if (cause instanceof TinyMQError) throw cause;
    if ((cause as { code?: string }).code === "ENOENT") return null;
    throw new TinyMQError("FAILED_PRECONDITION", `cannot read ${path}: ${String(cause)}`, { cause });
  }
}

/**
 * The text of a file of at most `maxBytes` that the option `what` names. Throws INVALID_ARGUMENT where there
 * is none, or none that can be read, or a larger one.
 */
export function readSmallFile(path: string, what: string, maxBytes: number): string {
  try {
    const file = openRegularFile(path);
    if (file === null) throw new TinyMQError("FAILED_PRECONDITION", `there is no file ${path}`);
    try {
      const { size } = fstatSync(file);
      if (size > maxBytes) {
        const sizes = `${formatSize(size)}; at most ${formatSize(maxBytes)} are read`;
        throw new TinyMQError("FAILED_PRECONDITION", `${path} has ${sizes}`);
      }
      return readFileSync(file, "utf8");
    } finally {
      closeSync(file);
    }
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new TinyMQError("INVALID_ARGUMENT", `${what}: ${why}`, { cause });
  }
}

function requireRegular(path: string, stats: Stats): void {
  if (stats.isFile()) return;
  const kind = stats.isDirectory() ? "a folder" : stats.isFIFO() ? "a FIFO" : "a device or a socket";
  throw new TinyMQError("FAILED_PRECONDITION", `${path} is ${kind}, not a file`);
}
