/**
 * The body of a bench's message: the time of its sending (float64, µs, little-endian) where there is room
 * for it, then bytes that all have the same value. Which message it is, its id tells.
 */
import type { Decoder } from "../../src/index.ts";

/** A body of fewer bytes tells no time. */
export const STAMP_BYTES = 8;
const FILL = 0xa5;

/** The body of every message of a producer, which copies it as it is sent. */
export class Body {
  readonly bytes: Uint8Array;
  readonly #view: DataView;

  /** Of `size` bytes. */
  constructor(size: number) {
    this.bytes = new Uint8Array(size).fill(FILL);
    this.#view = new DataView(this.bytes.buffer);
  }

  /** From now on it was sent at `micros`. */
  stamp(micros: number): void {
    if (this.bytes.length >= STAMP_BYTES) this.#view.setFloat64(0, micros, true);
  }
}

/** Decodes a body of `size` bytes to the µs of its sending; 0 if it has none, NaN if it is damaged. */
export function stampDecoder(size: number): Decoder<number> {
  const stamp = new DataView(new ArrayBuffer(STAMP_BYTES));
  const stampBytes = new Uint8Array(stamp.buffer);
  return {
    decode(encoded) {
      const body = encoded.bytes();
      if (body.length !== size) return Number.NaN;
      if (size > 0 && size !== STAMP_BYTES && body[size - 1] !== FILL) return Number.NaN;
      if (size < STAMP_BYTES) return 0;
      for (let at = 0; at < STAMP_BYTES; at += 1) stampBytes[at] = body[at]!;
      return stamp.getFloat64(0, true);
    },
  };
}
