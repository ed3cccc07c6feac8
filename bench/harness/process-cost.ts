/** What processes cost: CPU time and resident memory, as the kernel counts them. Linux. */

import { dlopen, FFIType, ptr } from "bun:ffi";
import { readFileSync } from "node:fs";

/** Source: proc(5); one tick of utime and stime is 1/100 s on every Linux that people use. */
const MICROS_PER_TICK = 10_000;
const BYTES_PER_KIB = 1_024;

const library = openLibrary();
const time = new BigInt64Array(2);

/** CPU time that the processes have used so far, user and system, in µs. */
export function cpuMicros(pids: readonly number[]): number {
  let sum = 0;
  for (const pid of pids) sum += preciseCpuMicros(pid) ?? ticks(pid) * MICROS_PER_TICK;
  return sum;
}

/** Resident memory of the processes, in bytes. */
export function residentBytes(pids: readonly number[]): number {
  let sum = 0;
  for (const pid of pids) {
    const kib = /^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
    sum += Number(kib) * BYTES_PER_KIB;
  }
  return sum;
}

function ticks(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return Number(fields[14 - 3]) + Number(fields[15 - 3]);
}

/**
 * The same sum to the nanosecond: every process has a CPU clock that others may read (source:
 * clock_getcpuclockid(3); its number is made of the process's by the kernel's MAKE_PROCESS_CPUCLOCK).
 */
function preciseCpuMicros(pid: number): number | undefined {
  const clock = (~pid << 3) | 2;
  if (library === undefined || library.clock_gettime(clock, ptr(time)) !== 0) return undefined;
  return Number(time[0]) * 1e6 + Number(time[1]) / 1e3;
}

function openLibrary() {
  try {
    return dlopen("libc.so.6", {
      clock_gettime: { args: [FFIType.i32, FFIType.ptr], returns: FFIType.i32 },
    }).symbols;
  } catch {
    // Another C library: ticks are good enough for runs of a second.
    return undefined;
  }
}
