/** Waiting for what must happen, and the sizes of proofs. */

/** The long proofs, which take minutes: `TINYMQ_PROOF=long bun test test/proof`. */
export const LONG = process.env.TINYMQ_PROOF === "long";

/** Resolves with the first value of `look` that is not null, false or undefined. Throws after `deadlineMs`. */
export async function until<Value>(
  what: string,
  look: () => Value | Promise<Value>,
  deadlineMs = 10_000,
): Promise<NonNullable<Value>> {
  const deadline = performance.now() + deadlineMs;
  while (performance.now() < deadline) {
    const value = await look();
    if (value) return value;
    await Bun.sleep(1);
  }
  throw new Error(`waited in vain for ${what}`);
}

/** `work`, or an error if it takes longer than `deadlineMs`. */
export async function within<Value>(what: string, deadlineMs: number, work: Promise<Value>): Promise<Value> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`${what} took longer than ${deadlineMs} ms`)), deadlineMs);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Numbers from 0 to 1 that a seed determines (source: mulberry32, public domain). */
export function randomFrom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** The seed of this run: `TINYMQ_SEED`, or a new one. Printed by who uses it. */
export function newSeed(): number {
  return Number(process.env.TINYMQ_SEED ?? Math.floor(Math.random() * 2 ** 32));
}
