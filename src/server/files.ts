/** Opens the files that options name. Always holds: they are regular files, and opening them never blocks. */
import { closeSync, constants, fstatSync, openSync, readFileSync, type Stats, statSync } from "node:fs";
import { messageOf, TinyMQError } from "../errors.ts";
import { formatSize } from "../wire/units.ts";

/**
 * Opens a regular file for reading; null if there is no file. Throws FAILED_PRECONDITION for anything but a
 * regular file, and for a file that cannot be read. Never blocks, as opening a FIFO would.
 */
export function openRegularFile(path: string): number | null {
  try {
    requireRegular(path, statSync(path));
    const file = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    try {
      // It may have been replaced in between.
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
 * The text of a file that the option `what` names, at most `maxBytes`. Throws INVALID_ARGUMENT if the file is
 * missing, unreadable or larger.
 */
export function readSmallFile(path: string, what: string, maxBytes: number): string {
  try {
    const file = openRegularFile(path);
    if (file === null) throw new TinyMQError("FAILED_PRECONDITION", `there is no file ${path}`);
    try {
      const { size } = fstatSync(file);
      if (size > maxBytes) {
        const sizes = `${formatSize(size)}; the limit is ${formatSize(maxBytes)}`;
        throw new TinyMQError("FAILED_PRECONDITION", `${path} has ${sizes}`);
      }
      return readFileSync(file, "utf8");
    } finally {
      closeSync(file);
    }
  } catch (cause) {
    const why = messageOf(cause);
    throw new TinyMQError("INVALID_ARGUMENT", `${what}: ${why}`, { cause });
  }
}

function requireRegular(path: string, stats: Stats): void {
  if (stats.isFile()) return;
  const kind = stats.isDirectory() ? "a folder" : stats.isFIFO() ? "a FIFO" : "a device or a socket";
  throw new TinyMQError("FAILED_PRECONDITION", `${path} is ${kind}, not a file`);
}
