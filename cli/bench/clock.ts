/**
 * Now, in µs, with fractions; the same for all threads of this process. Each thread counts from its own
 * beginning, and knows that beginning to a µs.
 */
export function nowMicros(): number {
  return (performance.timeOrigin + performance.now()) * 1_000;
}
