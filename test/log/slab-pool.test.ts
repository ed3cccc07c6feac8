import { expect, test } from "bun:test";
import { largeSlab, SlabPool, STANDARD_SLAB } from "../../src/log/slab-pool.ts";

const LARGE = largeSlab(300_000);

test("a buffer that was given is taken again, by its size", () => {
  const pool = new SlabPool(4 * STANDARD_SLAB);
  const [standard, large] = [pool.take(STANDARD_SLAB), pool.take(LARGE)];
  pool.give(standard);
  pool.give(large);
  expect(pool.take(LARGE)).toBe(large);
  expect(pool.take(STANDARD_SLAB)).toBe(standard);
  expect(pool.take(STANDARD_SLAB)).not.toBe(standard);
});

test("sizes of yesterday make room for those of today, and are freed", () => {
  const pool = new SlabPool(4 * LARGE);
  const large = Array.from({ length: 4 }, () => pool.take(LARGE));
  for (const bytes of large) pool.give(bytes);
  const standard = [pool.take(STANDARD_SLAB), pool.take(STANDARD_SLAB)];
  for (const bytes of standard) pool.give(bytes);
  expect(large.filter(({ length }) => length === 0)).toHaveLength(2);
  expect(standard).toContain(pool.take(STANDARD_SLAB));
  expect(standard).toContain(pool.take(STANDARD_SLAB));
  expect(large).toContain(pool.take(LARGE));
});

test("what is larger than all that may be kept, or of no size that is kept, is freed", () => {
  const pool = new SlabPool(STANDARD_SLAB);
  for (const size of [LARGE, 5_000]) {
    const bytes = pool.take(size);
    pool.give(bytes);
    expect(bytes.length).toBe(0);
  }
});
