/** Splits an input, which may be larger than memory, into lines. */
import { TinyMQError } from "../../src/errors.ts";

const NEWLINE = 0x0a;

/**
 * The lines of `input` without their newlines, as many at a time as have arrived; a last line without a
 * newline counts. Reads only when the next lines are asked for. Throws RESOURCE_EXHAUSTED for a line of more
 * than `longest` bytes.
 */
export async function* readLines(
  input: AsyncIterable<Uint8Array>,
  longest: number,
): AsyncGenerator<Uint8Array<ArrayBufferLike>[]> {
  let begun: Uint8Array[] = [];
  let begunBytes = 0;
  let count = 0;
  for await (const chunk of input) {
    const lines: Uint8Array[] = [];
    let start = 0;
    for (let end = chunk.indexOf(NEWLINE); end !== -1; end = chunk.indexOf(NEWLINE, start)) {
      const line = chunk.subarray(start, end);
      lines.push(begunBytes === 0 ? line : Buffer.concat([...begun, line]));
      if (begunBytes > 0) begun = [];
      begunBytes = 0;
      start = end + 1;
    }
    count += lines.length;
    if (start < chunk.length) {
      begun.push(chunk.subarray(start));
      begunBytes += chunk.length - start;
    }
    if (begunBytes > longest) {
      throw new TinyMQError("RESOURCE_EXHAUSTED", `line ${count + 1} is longer than any message can be`);
    }
    if (lines.length > 0) yield lines;
  }
  if (begunBytes > 0) yield [Buffer.concat(begun)];
}
