/**
 * One clock for all processes of a run: microseconds of the system's monotonic clock, so that a message
 * stamped in one process can be timed in another.
 */

const LOOKS = 50;
/** µs to add to this process's `performance.now()` (in µs). */
const offset = await findOffset();

/** Now, in µs, with fractions. Comparable between processes of one machine. */
export function nowMicros(): number {
  return performance.now() * 1_000 + offset;
}

async function findOffset(): Promise<number> {
  // Node's hrtime is the monotonic clock; Bun's counts from the start of the process.
  const monotonic = process.versions.bun === undefined ? nodeMicros : await libraryMicros();
  if (monotonic === undefined) return performance.timeOrigin * 1e3;
  // The least disturbed of many looks at both clocks.
  let best = { offset: 0, took: Number.POSITIVE_INFINITY };
  for (let look = 0; look < LOOKS; look++) {
    const before = performance.now() * 1e3;
    const there = monotonic();
    const took = performance.now() * 1e3 - before;
    if (took < best.took) best = { offset: there - before - took / 2, took };
  }
  return best.offset;
}

function nodeMicros(): number {
  const [seconds, nanoseconds] = process.hrtime();
  return seconds * 1e6 + nanoseconds / 1e3;
}

/** Source: clock_gettime(2), CLOCK_MONOTONIC is 1. Undefined where there is no such C library. */
async function libraryMicros(): Promise<(() => number) | undefined> {
  const { dlopen, FFIType, ptr } = await import("bun:ffi");
  try {
    const { clock_gettime } = dlopen("libc.so.6", {
      clock_gettime: { args: [FFIType.i32, FFIType.ptr], returns: FFIType.i32 },
    }).symbols;
    const time = new BigInt64Array(2);
    const address = ptr(time);
    return () => {
      clock_gettime(1, address);
      return Number(time[0]) * 1e6 + Number(time[1]) / 1e3;
    };
  } catch {
    // The processes' own idea of when they began is good to a millisecond.
    return undefined;
  }
}
