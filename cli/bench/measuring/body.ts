/**
 * The body of a message of a benchmark: the time of its sending (float64, µs, little-endian; 0: not timed), then
 * bytes of one value. One that is too short tells no time.
 */

/** A body of fewer bytes tells no time. */
export const TIME_BYTES = 8;
const FILL = 0xa5;

/** A body that is made once and sent again and again, with another time. */
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
}

/** Checks received bodies and reads their time. */
export class BodyReader {
  readonly #size: number;
  readonly #fillFrom: number;
  readonly #time = new DataView(new ArrayBuffer(TIME_BYTES));
  readonly #timeBytes = new Uint8Array(this.#time.buffer);

  /** Of bodies of `size` bytes, which at `fillFrom` (8, or more where something else follows the time) are filled. */
  constructor(size: number, fillFrom = TIME_BYTES) {
    this.#size = size;
    this.#fillFrom = size < TIME_BYTES ? 0 : fillFrom;
  }

  /** The µs of its sending; 0 if it tells none, NaN if it is damaged: another length, or another last byte. */
  time(body: Uint8Array): number {
    const size = this.#size;
    if (body.length !== size) return Number.NaN;
    if (size > this.#fillFrom && body[size - 1] !== FILL) return Number.NaN;
    // The highest byte of the time is 0 only if the time is: bodies that are not timed cost no more than this.
    if (size < TIME_BYTES || body[TIME_BYTES - 1] === 0) return 0;
    for (let at = 0; at < TIME_BYTES; at += 1) this.#timeBytes[at] = body[at]!;
    return this.#time.getFloat64(0, true);
  }
}
