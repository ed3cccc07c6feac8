/** Sizes and durations as people write them: "64MiB", "1.5s". */
import { TinyMQError } from "../errors.ts";

/** Bytes as a number, or text with a unit: "512", "64KiB", "1.5MB", "2GiB". */
export type Size = number | string;
/** Milliseconds as a number, or text with a unit: "250ms", "1.5s", "10m", "2h", "1d". */
export type Duration = number | string;

// No "k" or "m": to some they are powers of 1,000, to others of 1,024.
const SIZE_UNITS: Record<string, number> = {
  "": 1,
  b: 1,
  kb: 1e3,
  mb: 1e6,
  gb: 1e9,
  tb: 1e12,
  kib: 2 ** 10,
  mib: 2 ** 20,
  gib: 2 ** 30,
  tib: 2 ** 40,
};
const DURATION_UNITS: Record<string, number> = {
  "": 1,
  ms: 1,
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};

/** `size` in whole bytes. Throws INVALID_ARGUMENT naming `what`. */
export function parseSize(size: Size, what: string): number {
  const units = "units: B, KB, MB, GB, TB, KiB, MiB, GiB, TiB";
  return parseWithUnit(size, SIZE_UNITS, what, `a size such as 4096, "64KiB" or "1.5GB" (${units})`);
}

/** `duration` in whole milliseconds. Throws INVALID_ARGUMENT naming `what`. */
export function parseDuration(duration: Duration, what: string): number {
  const units = "units: ms, s, m, h, d";
  return parseWithUnit(duration, DURATION_UNITS, what, `a duration such as 250, "1.5s" or "10m" (${units})`);
}

function parseWithUnit(
  value: number | string,
  units: Record<string, number>,
  what: string,
  wanted: string,
): number {
  // Fast path: a server checks a dozen defaults, which are numbers, before it listens.
  if (Number.isSafeInteger(value) && (value as number) >= 0) return value as number;
  const match = /^\s*(\d+(?:\.\d+)?)\s*([a-z]*)\s*$/i.exec(String(value));
  const factor =
    match && Object.hasOwn(units, match[2]!.toLowerCase()) ? units[match[2]!.toLowerCase()] : undefined;
  const result = match && factor !== undefined ? Math.round(Number(match[1]) * factor) : Number.NaN;
  if (!Number.isSafeInteger(result)) {
    throw new TinyMQError("INVALID_ARGUMENT", `${what}: ${JSON.stringify(value)} is not ${wanted}`);
  }
  return result;
}

const BINARY_UNITS = ["B", "KiB", "MiB", "GiB", "TiB"];

/** `bytes` for people: "64 MiB", "1.5 KiB". */
export function formatSize(bytes: number): string {
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < BINARY_UNITS.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${Number(value.toFixed(value < 10 ? 1 : 0))} ${BINARY_UNITS[unit]}`;
}

/** `ms` for people: "250 ms", "1.5 s", "3 m 20 s", "2 d 4 h". */
export function formatDuration(ms: number): string {
  if (ms < 1_000) return `${Math.round(ms)} ms`;
  if (ms < 60_000) return `${Number((ms / 1_000).toFixed(1))} s`;
  const parts: [number, string, number, string] =
    ms < 3_600_000
      ? [60_000, "m", 1_000, "s"]
      : ms < 86_400_000
        ? [3_600_000, "h", 60_000, "m"]
        : [86_400_000, "d", 3_600_000, "h"];
  const whole = Math.floor(ms / parts[0]);
  const rest = Math.floor((ms % parts[0]) / parts[2]);
  return rest === 0 ? `${whole} ${parts[1]}` : `${whole} ${parts[1]} ${rest} ${parts[3]}`;
}
