/**
 * The body of a message of a benchmark, little-endian: the time of its sending (float64, µs; 0: not timed),
 * for queues whose messages carry no id its producer and its number (uint32 each), then bytes of one value.
 * A body that is too short for a part has none of it.
 */

/** A body of fewer bytes tells no time. */
export const TIME_BYTES = 8;
/** A body of fewer bytes cannot be numbered. */
export const NUMBERED_BYTES = 16;
const FILL = 0xa5;

/** A body that is written once and sent again and again, with another time or number. */
export class Body {
  readonly bytes: Uint8Array;
  readonly #view: DataView;

  /** Uses `bytes`, and overwrites what they hold. */
  constructor(bytes: Uint8Array) {
    this.bytes = bytes.fill(FILL);
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  }

  /** Sets the time of sending, in µs. */
  setTime(micros: number): void {
    if (this.bytes.length >= TIME_BYTES) this.#view.setFloat64(0, micros, true);
  }

  /** Throws a RangeError where there is no room for it. */
  setNumber(producer: number, seq: number): void {
    this.#view.setUint32(TIME_BYTES, producer, true);
    this.#view.setUint32(TIME_BYTES + 4, seq, true);
  }
}

/** Reads and checks received bodies. */
export class BodyReader {
  readonly #size: number;
  readonly #time = new DataView(new ArrayBuffer(TIME_BYTES));
  readonly #timeBytes = new Uint8Array(this.#time.buffer);
  /** Where the fill begins; bodies shorter than a time consist of it. */
  readonly #fillFrom: number;

  /** Of bodies of `size` bytes; `numbered`: they carry producer and number. */
  constructor(size: number, numbered = false) {
    this.#size = size;
    this.#fillFrom = size < TIME_BYTES ? 0 : numbered ? NUMBERED_BYTES : TIME_BYTES;
  }

  /** The µs of its sending; 0 if it tells none, NaN if it is damaged: another length, or another last byte. */
  time(body: Uint8Array): number {
    const size = this.#size;
    if (body.length !== size) return Number.NaN;
    if (size > this.#fillFrom && body[size - 1] !== FILL) return Number.NaN;
    // A time of our days has a sign and exponent other than 0: bodies that are not timed cost no more than this.
    if (size < TIME_BYTES || body[TIME_BYTES - 1] === 0) return 0;
    for (let at = 0; at < TIME_BYTES; at += 1) this.#timeBytes[at] = body[at]!;
    return this.#time.getFloat64(0, true);
  }
}

/** The producer of a numbered body. */
export function producerOf(body: Uint8Array): number {
  return uint32At(body, TIME_BYTES);
}

/** The number of a numbered body among those of its producer. */
export function numberOf(body: Uint8Array): number {
  return uint32At(body, TIME_BYTES + 4);
}

function uint32At(body: Uint8Array, at: number): number {
  return (body[at]! | (body[at + 1]! << 8) | (body[at + 2]! << 16) | (body[at + 3]! << 24)) >>> 0;
}
