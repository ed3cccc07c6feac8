/**
 * Records as they are kept: sealed with their number and a checksum, so that one that was damaged, cut off, or put in
 * another's place is noticed.
 *
 * Format: one byte, 1; the number in eight bytes and the checksum in four, both little-endian; the record. The checksum
 * is the CRC-32C of the format, the number and the record.
 */
import { TinyMQError } from "../errors.ts";

const FORMAT = 1;
const NUMBER_AT = 1;
const CHECKSUM_AT = 9;
/** Bytes of a sealed record beside the record. */
const SEAL_BYTES = 13;

export function seal(record: Uint8Array, number: number): Uint8Array {
  const sealed = new Uint8Array(SEAL_BYTES + record.length);
  const view = new DataView(sealed.buffer);
  sealed[0] = FORMAT;
  view.setBigUint64(NUMBER_AT, BigInt(number), true);
  sealed.set(record, SEAL_BYTES);
  view.setUint32(CHECKSUM_AT, checksum(sealed), true);
  return sealed;
}

/** The record in `sealed`, a view. Throws DATA_LOSS unless it is the record of that number, undamaged. */
export function unseal(sealed: Uint8Array, number: number): Uint8Array {
  const lost = (why: string) => new TinyMQError("DATA_LOSS", `record ${number} of the journal ${why}`);
  if (sealed.length < SEAL_BYTES) throw lost("is cut off");
  const view = new DataView(sealed.buffer, sealed.byteOffset, sealed.byteLength);
  // Asked before the checksum, which another format may compute in another way.
  if (sealed[0] !== FORMAT) throw lost(`has the format ${sealed[0]}, which this version does not know`);
  if (view.getUint32(CHECKSUM_AT, true) !== checksum(sealed)) throw lost("is damaged: its checksum is wrong");
  const found = view.getBigUint64(NUMBER_AT, true);
  if (found !== BigInt(number)) throw lost(`is another one, with the number ${found}`);
  return sealed.subarray(SEAL_BYTES);
}

/** Of everything but the place where the checksum stands. */
function checksum(sealed: Uint8Array): number {
  let crc = -1;
  for (let at = 0; at < CHECKSUM_AT; at++) crc = TABLE[(crc ^ sealed[at]!) & 0xff]! ^ (crc >>> 8);
  for (let at = SEAL_BYTES; at < sealed.length; at++) crc = TABLE[(crc ^ sealed[at]!) & 0xff]! ^ (crc >>> 8);
  return ~crc >>> 0;
}

/** CRC-32C (source: RFC 3720, appendix B.4: the polynomial 0x1EDC6F41, bits reversed). */
const TABLE = Int32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1;
  return crc;
});
