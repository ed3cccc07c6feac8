/** The content of a PID file: what a server writes about itself, and how it is read and checked. */
import { closeSync, constants, fstatSync, lstatSync, openSync, readFileSync, type Stats } from "node:fs";
import { TinyMQError } from "../../src/errors.ts";
import { identifyProcess } from "./process-identity.ts";

/** The content of a PID file. */
export interface ServerRecord {
  pid: number;
  /** The identity of the process: see `identifyProcess`. */
  startTime: string;
  host: string;
  port: number;
  /** What it listens on, without the port: "127.0.0.1". */
  addresses: string[];
  tls: boolean;
  /** Absolute; "" if it has none. Commands of the same user read the token there. */
  tokenFile: string;
  version: string;
  /** Absolute; "" if it logs to standard error. */
  log: string;
  /** ISO 8601. */
  startedAt: string;
}

/** A larger file is no PID file. */
const MAX_BYTES = 64 * 1024;

/** Whether the process that wrote the record still runs. Another process with its number does not count. */
export function isLive(record: ServerRecord): boolean {
  return identifyProcess(record.pid) === record.startTime;
}

/** Whether both were written by the same process. */
export function isSameServer(one: ServerRecord, other: ServerRecord): boolean {
  return one.pid === other.pid && one.startTime === other.startTime;
}

/** "pid 4711, ws://localhost:9800". */
export function describeServer(record: ServerRecord): string {
  return `pid ${record.pid}, ${serverUrl(record)}`;
}

/** The error of a start where a server is running. */
export function alreadyRunning(holder: ServerRecord): TinyMQError {
  return new TinyMQError("ALREADY_EXISTS", `tinyMQ is already running: ${describeServer(holder)}`);
}

/** The address for clients. */
export function serverUrl(record: Pick<ServerRecord, "host" | "port" | "tls">, scheme = "ws"): string {
  const host = record.host.includes(":") ? `[${record.host}]` : record.host;
  return `${scheme}${record.tls ? "s" : ""}://${host}:${record.port}`;
}

/**
 * The record in a file; null if there is no file. Follows no symbolic link and never blocks. Throws
 * FAILED_PRECONDITION, naming the file, if it is anything but a record that this user wrote.
 */
export function readRecord(path: string): ServerRecord | null {
  const descriptor = openIfThere(path);
  if (descriptor === null) return null;
  try {
    const found = fstatSync(descriptor);
    requireOwnFile(path, found);
    return parseRecord(path, found.size > MAX_BYTES ? "" : readFileSync(descriptor, "utf8"));
  } finally {
    closeSync(descriptor);
  }
}

function openIfThere(path: string): number | null {
  // At most starts there is no file, and an error costs more time than this look.
  if (!lstatSync(path, { throwIfNoEntry: false })) return null;
  try {
    // O_NONBLOCK: opening a named pipe would wait for a writer.
    return openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === "ENOENT") return null;
    if (code === "ELOOP") throw unusable(path, "is a symbolic link", error);
    if (code === "EACCES" || code === "EPERM") throw unusable(path, "may not be read", error);
    throw unusable(path, `cannot be read (${code})`, error);
  }
}

function requireOwnFile(path: string, found: Stats): void {
  if (found.isDirectory()) throw unusable(path, "is a folder");
  if (!found.isFile()) throw unusable(path, "is not a regular file");
  if (process.getuid && found.uid !== process.getuid()) throw unusable(path, "belongs to another user");
  if ((found.mode & 0o022) !== 0) throw unusable(path, "can be written by others");
}

function parseRecord(path: string, text: string): ServerRecord {
  let parsed: Partial<ServerRecord> | null;
  try {
    parsed = JSON.parse(text);
  } catch (error) {
    throw unusable(path, "was not written by tinyMQ", error);
  }
  const texts = [
    parsed?.startTime,
    parsed?.host,
    parsed?.tokenFile,
    parsed?.version,
    parsed?.log,
    parsed?.startedAt,
  ];
  const wellFormed =
    Number.isSafeInteger(parsed?.pid) &&
    parsed!.pid! > 0 &&
    Number.isSafeInteger(parsed!.port) &&
    typeof parsed!.tls === "boolean" &&
    Array.isArray(parsed!.addresses) &&
    parsed!.addresses.every((address) => typeof address === "string") &&
    texts.every((value) => typeof value === "string");
  if (!wellFormed) throw unusable(path, "was not written by tinyMQ");
  return parsed as ServerRecord;
}

function unusable(path: string, why: string, cause?: unknown): TinyMQError {
  const advice = "look at it, and remove it if no server uses it";
  return new TinyMQError("FAILED_PRECONDITION", `the PID file ${path} ${why}; ${advice}`, { cause });
}
