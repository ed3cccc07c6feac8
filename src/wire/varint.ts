/** Varints as Protocol Buffers encode them, for integers from 0 to 2^53-1. */
import { TinyMQError } from "../errors.ts";

/** Length in bytes of the shortest varint of `value`. */
export function varintLength(value: number): number {
  if (value < 0x80) return 1;
  if (value < 0x4000) return 2;
  if (value < 0x20_0000) return 3;
  if (value < 0x1000_0000) return 4;
  if (value < 0x8_0000_0000) return 5;
  if (value < 0x400_0000_0000) return 6;
  return value < 0x2_0000_0000_0000 ? 7 : 8;
}

/** Writes the shortest varint of `value` at `at`; returns where it ends. */
export function writeVarint(bytes: Uint8Array, at: number, value: number): number {
  let rest = value;
  let position = at;
  while (rest >= 0x1000_0000) {
    // Bit operators would truncate it to 32 bits.
    bytes[position++] = (rest % 0x80) | 0x80;
    rest = Math.floor(rest / 0x80);
  }
  while (rest >= 0x80) {
    bytes[position++] = (rest & 0x7f) | 0x80;
    rest >>>= 7;
  }
  bytes[position] = rest;
  return position + 1;
}

/** Where the last varint that was read ends. A module variable saves allocating a result per read. */
export let varintEnd = 0;

/**
 * Reads the varint at `at` and sets `varintEnd`. Values from 2^53 on are inexact, but never below 2^53.
 * Throws INVALID_ARGUMENT if it is longer than ten bytes or does not end before `end`.
 */
export function readVarint(bytes: Uint8Array, at: number, end: number): number {
  let value = 0;
  let factor = 1;
  for (let position = at; position < end && position < at + 10; position++) {
    const byte = bytes[position]!;
    value += (byte & 0x7f) * factor;
    if (byte < 0x80) {
      varintEnd = position + 1;
      return value;
    }
    factor *= 128;
  }
  throw new TinyMQError("INVALID_ARGUMENT", "malformed batch: a number is cut off or longer than ten bytes");
}
