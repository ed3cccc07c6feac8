/** How much a frame asks of whoever decodes it: an object may come of every two bytes. */
import { readVarint, varintEnd } from "./varint.ts";

const VARINT = 0;
const LENGTH_DELIMITED = 2;
/** Bytes of a field's value by its wire type, where they are always as many. */
const FIXED: Readonly<Record<number, number>> = { 1: 8, 5: 4 };

/**
 * Whether a frame has more than `most` fields, those of the messages that it holds counted, too. What is malformed
 * is left to the decoder, but groups count as too many: they could hide fields, and no encoder writes them.
 */
export function hasMoreFields(frame: Uint8Array, most: number): boolean {
  let fields = 0;
  const walk = (start: number, end: number, isInner: boolean): void => {
    for (let at = start; at < end && fields <= most; ) {
      const type = readVarint(frame, at, end) % 8;
      at = varintEnd;
      fields += 1;
      const fixed = FIXED[type];
      if (fixed !== undefined) {
        at += fixed;
        continue;
      }
      const value = readVarint(frame, at, end);
      at = varintEnd;
      if (type === VARINT) continue;
      if (type !== LENGTH_DELIMITED) fields = most + 1;
      else if (!isInner) walk(at, Math.min(end, at + value), true);
      at += value;
    }
  };
  try {
    walk(0, frame.length, false);
  } catch {
    // Cut off: what is in front of that counts.
  }
  return fields > most;
}
