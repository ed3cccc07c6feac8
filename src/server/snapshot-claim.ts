/**
 * Keeps two servers from using one snapshot file, where the second would overwrite the first one's messages: a server
 * has a file FILE.server-PID-X beside it, from its start to its end. X is random.
 *
 * Always holds:
 * - A server looks for others again after it has written its own file, so that of two starts at once at least one
 *   sees the other.
 * - A name is used once, so whoever removes a file removes the one that it has read.
 * - Only what a server left that has certainly ended is removed. What cannot be judged refuses the start.
 */
import { lstatSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { basename, dirname } from "node:path";
import { messageOf, TinyMQError } from "../errors.ts";
import { KiB } from "../wire/limits.ts";
import { readSmallFile } from "./files.ts";
import { identifyProcess, identifySurroundings, identifyThisProcess } from "./process-identity.ts";

/** The first line of the file; when the process started, its host, boot and namespace follow, a line each. */
const BEGIN = "tinymq server";
/** No server writes a larger one. */
const MAX_BYTES = KiB;

const REMOVE_IT = "if that server has ended, remove that file, else choose another snapshot";

/**
 * Claims the snapshot `path` for a server of this process; the returned function gives it up, and may be called
 * twice. Throws FAILED_PRECONDITION if another server has it, if that cannot be told, or if the file beside it cannot
 * be written.
 */
export function claimSnapshot(path: string): () => void {
  const { pid, startTime } = identifyThisProcess();
  // Not a secret: `crypto` would make the process 0.4 MiB larger.
  const own = `${path}.server-${pid}-${Math.random().toString(36).slice(2)}`;
  const giveUp = () => rmSync(own, { force: true });
  try {
    const { host, boot, namespace } = identifySurroundings();
    refuseIfClaimed(path, null);
    writeFileSync(own, [BEGIN, startTime, host, boot, namespace, ""].join("\n"), { flag: "wx" });
    try {
      refuseIfClaimed(path, own);
    } catch (error) {
      giveUp();
      throw error;
    }
  } catch (cause) {
    if (cause instanceof TinyMQError) throw cause;
    const what = `snapshot: cannot claim ${path} with ${own}: ${messageOf(cause)}`;
    throw new TinyMQError("FAILED_PRECONDITION", what, { cause });
  }
  return giveUp;
}

/** Throws FAILED_PRECONDITION if a server may have claimed `path`. `own` is the claim of this one, if it has one. */
function refuseIfClaimed(path: string, own: string | null): void {
  const begin = `${basename(path)}.server-`;
  for (const name of readdirSync(dirname(path))) {
    const end = name.startsWith(begin) ? name.slice(begin.length) : "";
    const pid = Number(/^([1-9]\d{0,9})-\w+$/.exec(end)?.[1] ?? 0);
    const file = `${path}.server-${end}`;
    if (pid === 0 || file === own) continue;
    const text = readIfThere(file);
    if (!text?.startsWith(BEGIN)) continue;
    const [, startTime, host = "unknown", boot, namespace] = text.split("\n");
    const here = identifySurroundings();
    if (boot === here.boot && namespace === here.namespace) {
      if (identifyProcess(pid) === startTime) throw inUse(path, pid);
    } else if (host !== here.host || boot === here.boot || boot === undefined) {
      throw cannotTell(path, file, host);
    }
    // It was killed, or ran before this machine was started again.
    rmSync(file, { force: true });
  }
}

/** Null if the file is gone. Throws FAILED_PRECONDITION if it cannot be read. */
function readIfThere(file: string): string | null {
  try {
    return readSmallFile(file, "snapshot", MAX_BYTES);
  } catch (cause) {
    // Its server has just ended.
    if (lstatSync(file, { throwIfNoEntry: false }) === undefined) return null;
    const what = `${messageOf(cause)}: it may be that of a server; ${REMOVE_IT}`;
    throw new TinyMQError("FAILED_PRECONDITION", what, { cause });
  }
}

function inUse(path: string, pid: number): TinyMQError {
  const who = pid === process.pid ? "another server of this process" : `the server with pid ${pid}`;
  const what = `snapshot: ${path} is in use by ${who}: stop that one, or choose another file`;
  return new TinyMQError("FAILED_PRECONDITION", what);
}

function cannotTell(path: string, file: string, host: string): TinyMQError {
  const what = `snapshot: cannot tell whether ${path} is in use: a server of another machine or container (${host}) has ${file}; ${REMOVE_IT}`;
  return new TinyMQError("FAILED_PRECONDITION", what);
}
