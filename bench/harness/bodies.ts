/**
 * Bodies: each tells who sent it, its number and when it was meant to be sent, so that the receiver can
 * check that every message came exactly once, and time it.
 *
 * Bytes: producer (uint32), seq (uint32), intended time (float64, µs; 0 if it is not timed), all
 * little-endian, then a pattern. As text: the same, as decimal numbers with ":" behind each, then "x"s.
 */

export const STAMP_BYTES = 16;
/** Bodies made in advance are used again after this many; no more may be in flight. */
const RING_BYTES = 8 * 1024 * 1024;
const RING_SLOTS = 65_536;
const PATTERN_STEP = 31;

/** Makes the bodies of one producer. */
export class Bodies {
  readonly producer: number;
  /** Bytes of each. */
  readonly size: number;
  /** Intended send time of the next body, in µs of the common clock; 0: not timed. */
  intended = 0;
  readonly #slots: Uint8Array[] = [];
  readonly #stamps: DataView;
  readonly #pad: string;

  constructor(producer: number, size: number) {
    if (size < STAMP_BYTES) throw new RangeError(`a body has at least ${STAMP_BYTES} bytes`);
    this.producer = producer;
    this.size = size;
    const slots = Bodies.ring(size);
    const memory = new Uint8Array(slots * size);
    for (let at = 0; at < memory.length; at++) memory[at] = patternAt(at % size);
    this.#stamps = new DataView(memory.buffer);
    for (let slot = 0; slot < slots; slot++) {
      this.#slots.push(memory.subarray(slot * size, (slot + 1) * size));
      this.#stamps.setUint32(slot * size, producer, true);
    }
    this.#pad = "x".repeat(size);
  }

  /** How many bodies of a size exist at once, and so how many may be in flight. */
  static ring(size: number): number {
    return Math.max(64, Math.min(RING_SLOTS, Math.floor(RING_BYTES / size)));
  }

  /** Message `seq`; the bytes are used again after `ring` more. */
  bytes(seq: number): Uint8Array {
    const slot = seq % this.#slots.length;
    const at = slot * this.size;
    this.#stamps.setUint32(at + 4, seq, true);
    this.#stamps.setFloat64(at + 8, this.intended, true);
    return this.#slots[slot]!;
  }

  /** Message `seq` as text, for clients whose bodies are strings. */
  text(seq: number): string {
    const stamp = `${this.producer}:${seq}:${Math.round(this.intended)}:`;
    return stamp + this.#pad.slice(0, Math.max(0, this.size - stamp.length));
  }
}

/** What the byte at this place of a body is, behind the stamp. */
export function patternAt(place: number): number {
  return (place * PATTERN_STEP) & 0xff;
}
