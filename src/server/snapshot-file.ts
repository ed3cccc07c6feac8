/**
 * The file of a snapshot: written whole or not at all, checked before it is believed.
 *
 * Format: the eight bytes "tinymq-1", records (`SnapshotRecord`, each behind its length as four bytes,
 * little-endian), and the SHA-256 of all that stands before it.
 */
import {
  closeSync,
  constants,
  fstatSync,
  fsyncSync,
  openSync,
  readSync,
  renameSync,
  rmSync,
  writeSync,
} from "node:fs";
import { dirname } from "node:path";
import type { Broker } from "../broker/broker.ts";
import { SnapshotReader, takeSnapshot } from "../broker/snapshot.ts";
import { TinyMQError, toTinyMQError } from "../errors.ts";
import { SnapshotRecord } from "../gen/tinymq/v1/snapshot.ts";
import { MiB } from "../wire/limits.ts";
import { VERSION } from "./version.ts";

const MAGIC = new TextEncoder().encode("tinymq-1");
const DIGEST_BYTES = 32;
const LENGTH_BYTES = 4;
const READ_BYTES = MiB;

/** Writes a snapshot of `broker` to `path`, mode 0600, and returns its bytes. `progress` is told of each record. */
export function writeSnapshot(broker: Broker, path: string, progress: () => void): number {
  const unfinished = `${path}.writing-${process.pid}`;
  rmSync(unfinished, { force: true });
  const { O_WRONLY, O_CREAT, O_EXCL, O_NOFOLLOW } = constants;
  const file = openSync(unfinished, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600);
  try {
    const hash = new Bun.CryptoHasher("sha256");
    let bytes = writeAll(file, hash, MAGIC);
    for (const record of takeSnapshot(broker, VERSION)) {
      const encoded = SnapshotRecord.toBinary(record);
      const length = new Uint8Array(LENGTH_BYTES);
      new DataView(length.buffer).setUint32(0, encoded.length, true);
      bytes += writeAll(file, hash, length) + writeAll(file, hash, encoded);
      progress();
    }
    bytes += writeAll(file, null, hash.digest());
    fsyncSync(file);
    closeSync(file);
    renameSync(unfinished, path);
    syncFolder(dirname(path));
    return bytes;
  } catch (error) {
    rmSync(unfinished, { force: true });
    throw error;
  }
}

/**
 * Fills an empty broker from the snapshot at `path` and returns how many messages it held; null if there is
 * no file. A damaged one is renamed to `<path>.damaged`, and DATA_LOSS is thrown.
 */
export function readSnapshot(broker: Broker, path: string): number | null {
  let file: number;
  try {
    file = openSync(path, constants.O_RDONLY);
  } catch (cause) {
    if ((cause as { code?: string }).code === "ENOENT") return null;
    throw new TinyMQError("FAILED_PRECONDITION", `snapshot: cannot read ${path}: ${String(cause)}`, {
      cause,
    });
  }
  try {
    const end = checkFile(file);
    const reader = new SnapshotReader(broker);
    for (const record of records(file, end)) reader.take(record);
    return reader.finish();
  } catch (thrown) {
    const error = toTinyMQError(thrown);
    const aside = `${path}.damaged`;
    renameSync(path, aside);
    throw new TinyMQError(
      "DATA_LOSS",
      `snapshot: ${path} is damaged (${error.message}). It was renamed to ${aside}; start again to begin empty`,
      { cause: thrown },
    );
  } finally {
    closeSync(file);
  }
}

/** Throws FAILED_PRECONDITION if no snapshot could be written to `path`: better now than at the stop. */
export function checkWritable(path: string): void {
  const trial = `${path}.writing-${process.pid}`;
  try {
    rmSync(trial, { force: true });
    closeSync(openSync(trial, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL, 0o600));
    rmSync(trial);
  } catch (cause) {
    throw new TinyMQError("FAILED_PRECONDITION", `snapshot: ${path} could not be written: ${String(cause)}`, {
      cause,
    });
  }
}

/** The snapshot was restored and the port is ours: a crash must not bring back what is consumed from now on. */
export function retireSnapshot(path: string): void {
  renameSync(path, `${path}.restored`);
  syncFolder(dirname(path));
}

/** Where the records of a whole file end. Throws DATA_LOSS. */
function checkFile(file: number): number {
  const { size } = fstatSync(file);
  const end = size - DIGEST_BYTES;
  if (end < MAGIC.length) throw new TinyMQError("DATA_LOSS", "it is cut off");
  const magic = readAt(file, 0, MAGIC.length);
  if (Buffer.compare(magic, MAGIC) !== 0) {
    throw new TinyMQError("DATA_LOSS", "it does not begin as a snapshot of this version does");
  }
  const hash = new Bun.CryptoHasher("sha256");
  for (let at = 0; at < end; at += READ_BYTES) hash.update(readAt(file, at, Math.min(READ_BYTES, end - at)));
  if (Buffer.compare(hash.digest(), readAt(file, end, DIGEST_BYTES)) !== 0) {
    throw new TinyMQError("DATA_LOSS", "its checksum is wrong");
  }
  return end;
}

function* records(file: number, end: number): Generator<SnapshotRecord> {
  for (let at = MAGIC.length; at < end; ) {
    const head = readAt(file, at, LENGTH_BYTES);
    const length = new DataView(head.buffer, head.byteOffset).getUint32(0, true);
    at += LENGTH_BYTES;
    yield SnapshotRecord.fromBinary(readAt(file, at, length));
    at += length;
  }
}

function readAt(file: number, position: number, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  let read = 0;
  while (read < length) {
    const some = readSync(file, bytes, read, length - read, position + read);
    if (some === 0) throw new TinyMQError("DATA_LOSS", "it is cut off");
    read += some;
  }
  return bytes;
}

function writeAll(file: number, hash: Bun.CryptoHasher | null, bytes: Uint8Array): number {
  hash?.update(bytes);
  let written = 0;
  while (written < bytes.length) written += writeSync(file, bytes, written);
  return bytes.length;
}

/** Makes a rename last. */
function syncFolder(path: string): void {
  const folder = openSync(path, constants.O_RDONLY);
  try {
    fsyncSync(folder);
  } finally {
    closeSync(folder);
  }
}
