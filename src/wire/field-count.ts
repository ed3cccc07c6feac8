/** How much a frame asks of whoever decodes it: an object may come of every two bytes. */
import { readVarint, varintEnd } from "./varint.ts";

const VARINT = 0;
const LENGTH_DELIMITED = 2;
/** Bytes of a field's value by its wire type, where they are always as many. */
const FIXED: Readonly<Record<number, number>> = { 1: 8, 5: 4 };

/** Fields that each of the innermost messages may have, taken together: a settle has five. */
const INNERMOST = 8;

/**
 * Whether a frame has more than `most` fields, those of the message that it holds (a pull) counted, too; or those in
 * turn (settles) more than eight times as many. What is malformed is left to the decoder, but groups count as too
 * many: they could hide fields, and no encoder writes them.
 */
export function hasMoreFields(frame: Uint8Array, most: number): boolean {
  let fields = 0;
  let innermost = 0;
  const walk = (start: number, end: number, depth: number): void => {
    for (let at = start; at < end && fields <= most && innermost <= INNERMOST * most; ) {
      const type = readVarint(frame, at, end) % 8;
      at = varintEnd;
      if (depth < 2) fields += 1;
      else innermost += 1;
      const fixed = FIXED[type];
      if (fixed !== undefined) {
        at += fixed;
        continue;
      }
      const value = readVarint(frame, at, end);
      at = varintEnd;
      if (type === VARINT) continue;
      if (type !== LENGTH_DELIMITED) fields = most + 1;
      else if (depth < 2) walk(at, Math.min(end, at + value), depth + 1);
      at += value;
    }
  };
  try {
    walk(0, frame.length, 0);
  } catch {
    // Cut off: what is in front of that counts.
  }
  return fields > most || innermost > INNERMOST * most;
}
