/**
 * Writes and reads the snapshot file. Always holds: it is written completely or not at all, and verified before use.
 *
 * Format: the eight bytes "tinymq-1"; records (`SnapshotRecord`), each preceded by its length in four bytes,
 * little-endian; the SHA-256 of everything before it.
 */
import { closeSync, fstatSync, fsyncSync, readSync, rmSync, writeSync } from "node:fs";
import type { Broker } from "../broker/broker.ts";
import { SnapshotReader, takeSnapshot } from "../broker/snapshot.ts";
import { TinyMQError, toTinyMQError } from "../errors.ts";
import { SnapshotRecord } from "../gen/tinymq/v1/snapshot.ts";
import { MiB } from "../wire/limits.ts";
import { createUnfinished, MAGIC, openSnapshot, placeSnapshot, setAside } from "./snapshot-path.ts";
import { VERSION } from "./version.ts";

export { claimSnapshot } from "./snapshot-claim.ts";
export { preparePath, retireSnapshot } from "./snapshot-path.ts";

const DIGEST_BYTES = 32;
const LENGTH_BYTES = 4;
const READ_BYTES = MiB;
/** Reading yields to other work after this many bytes. */
const YIELD_BYTES = 16 * MiB;

/** The file does not have what was written to it; the message says why. */
class Damage extends Error {}

/** Writes a snapshot of `broker` to `path`, mode 0600; returns its size. `progress` is called after each record. */
export function writeSnapshot(broker: Broker, path: string, progress: () => void): number {
  const { file, unfinished } = createUnfinished(path);
  let bytes: number;
  try {
    bytes = writeRecords(file, broker, progress);
    fsyncSync(file);
  } catch (error) {
    rmSync(unfinished, { force: true });
    throw error;
  } finally {
    closeSync(file);
  }
  placeSnapshot(unfinished, path);
  return bytes;
}

/**
 * Restores the snapshot at `path` into an empty broker and returns its number of messages; null if there is no file.
 * Throws DATA_LOSS for a damaged file, which `setAside` renames, and FAILED_PRECONDITION for any other that cannot be
 * restored, which is left unchanged. `goOn` may throw to cancel the reading.
 */
export async function readSnapshot(broker: Broker, path: string, goOn: () => void): Promise<number | null> {
  const file = openSnapshot(path);
  if (file === null) return null;
  try {
    return restore(broker, file, path, await checkFile(file, goOn));
  } catch (error) {
    if (!(error instanceof Damage)) throw error;
    const what = `is damaged (${error.message}). It was renamed to ${setAside(path)}; the next start begins empty`;
    throw new TinyMQError("DATA_LOSS", `snapshot: ${path} ${what}`, { cause: error });
  } finally {
    closeSync(file);
  }
}

function writeRecords(file: number, broker: Broker, progress: () => void): number {
  const hash = new Bun.CryptoHasher("sha256");
  let bytes = writeAll(file, hash, MAGIC);
  for (const record of takeSnapshot(broker, VERSION)) {
    const encoded = SnapshotRecord.toBinary(record);
    const length = new Uint8Array(LENGTH_BYTES);
    new DataView(length.buffer).setUint32(0, encoded.length, true);
    bytes += writeAll(file, hash, length) + writeAll(file, hash, encoded);
    progress();
  }
  return bytes + writeAll(file, null, hash.digest());
}

/** Verifies the file and returns where its records end. Throws `Damage`. */
async function checkFile(file: number, goOn: () => void): Promise<number> {
  const end = fstatSync(file).size - DIGEST_BYTES;
  if (end < MAGIC.length) throw new Damage("it is cut off");
  const hash = new Bun.CryptoHasher("sha256");
  for (let at = 0; at < end; at += READ_BYTES) {
    if (at % YIELD_BYTES === 0) {
      await new Promise((resolve) => setImmediate(resolve));
      goOn();
    }
    hash.update(readAt(file, at, Math.min(READ_BYTES, end - at)));
  }
  if (Buffer.compare(hash.digest(), readAt(file, end, DIGEST_BYTES)) === 0) return end;
  throw new Damage("its checksum is wrong");
}

/** Runs in one turn, so that no timer fires while a topic is only partly restored. */
function restore(broker: Broker, file: number, path: string, end: number): number {
  const reader = new SnapshotReader(broker);
  try {
    for (const record of records(file, end)) reader.take(record);
    return reader.finish();
  } catch (thrown) {
    // It was cut off since it was checked.
    if (thrown instanceof Damage) throw thrown;
    const { message } = toTinyMQError(thrown);
    const writer =
      reader.version === "" ? "the version that wrote it" : `version ${reader.version}, which wrote it`;
    throw new TinyMQError(
      "FAILED_PRECONDITION",
      `snapshot: ${path} is intact, but version ${VERSION} cannot restore it (${message}). It was left unchanged: ` +
        `start ${writer}, or move the file elsewhere to begin empty`,
      { cause: thrown },
    );
  }
}

function* records(file: number, end: number): Generator<SnapshotRecord> {
  for (let at = MAGIC.length; at < end; ) {
    const head = readAt(file, at, LENGTH_BYTES);
    const length = new DataView(head.buffer, head.byteOffset).getUint32(0, true);
    at += LENGTH_BYTES;
    yield SnapshotRecord.fromBinary(readAt(file, at, Math.min(length, end - at)));
    at += length;
  }
}

/** Throws `Damage` if the file has become shorter. */
function readAt(file: number, position: number, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  let read = 0;
  while (read < length) {
    const some = readSync(file, bytes, read, length - read, position + read);
    if (some === 0) throw new Damage("it is cut off");
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
