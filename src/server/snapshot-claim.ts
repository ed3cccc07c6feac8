/**
 * Keeps two servers from using one snapshot file, where the second would overwrite the first one's messages: a server
 * has a file FILE.server-PID beside it, from its start to its end.
 *
 * Always holds: a server writes its own file before it looks for others, so that of two starts at once at least one
 * sees the other. What a killed server left counts no longer, and is removed.
 */
import { readdirSync, rmSync, writeFileSync } from "node:fs";
import { basename, dirname } from "node:path";
import { TinyMQError } from "../errors.ts";
import { KiB } from "../wire/limits.ts";
import { readSmallFile } from "./files.ts";
import { identifyProcess, identifyThisProcess } from "./process-identity.ts";

/** What the file begins with; the identity of the process follows. */
const BEGIN = "tinymq server ";
/** A larger file is none of ours. */
const MAX_BYTES = KiB;

/**
 * Claims the snapshot `path` for a server of this process; the returned function gives it up, once. Throws
 * FAILED_PRECONDITION if another server has it, or if the file beside it cannot be written.
 */
export function claimSnapshot(path: string): () => void {
  const { pid, startTime } = identifyThisProcess();
  const own = `${path}.server-${pid}`;
  let isOurs = true;
  const giveUp = () => {
    // Called again, it might remove the file of the process's next server.
    if (isOurs) rmSync(own, { force: true });
    isOurs = false;
  };
  try {
    refuseIfClaimed(path);
    writeFileSync(own, `${BEGIN}${startTime}\n`, { flag: "wx" });
    try {
      refuseIfClaimed(path, own);
    } catch (error) {
      giveUp();
      throw error;
    }
  } catch (cause) {
    if (cause instanceof TinyMQError) throw cause;
    const what = `snapshot: ${path} could not be written: ${String(cause)}`;
    throw new TinyMQError("FAILED_PRECONDITION", what, { cause });
  }
  return giveUp;
}

/** Throws FAILED_PRECONDITION if a server that runs has claimed `path` by another file than `own`. */
function refuseIfClaimed(path: string, own = ""): void {
  const begin = `${basename(path)}.server-`;
  for (const name of readdirSync(dirname(path))) {
    const pid = name.startsWith(begin) ? name.slice(begin.length) : "";
    const file = `${path}.server-${pid}`;
    const claimant = /^[1-9]\d{0,9}$/.test(pid) && file !== own ? claimantOf(file) : null;
    if (claimant === null) continue;
    if (claimant === identifyProcess(Number(pid))) {
      const who =
        Number(pid) === process.pid ? "another server of this process" : `the server with pid ${pid}`;
      const what = `snapshot: ${path} is in use by ${who}: stop that one, or choose another file`;
      throw new TinyMQError("FAILED_PRECONDITION", what);
    }
    rmSync(file, { force: true });
  }
}

/** The identity of the process that wrote the file; null if the file is gone, or not ours. */
function claimantOf(file: string): string | null {
  try {
    const text = readSmallFile(file, "snapshot", MAX_BYTES);
    return text.startsWith(BEGIN) ? text.slice(BEGIN.length).trim() : null;
  } catch {
    // It is no file that a server wrote, or its server has just ended.
    return null;
  }
}
