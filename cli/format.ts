/** Numbers as people read them. */

const SIZE_UNITS = ["B", "KiB", "MiB", "GiB", "TiB"];
const TIME_UNITS = [
  ["d", 86_400_000],
  ["h", 3_600_000],
  ["m", 60_000],
  ["s", 1_000],
] as const;

/** Bytes: "64 MiB", "1.5 KiB". */
export function formatSize(bytes: number): string {
  const unit = Math.min(SIZE_UNITS.length - 1, Math.floor(Math.log2(Math.max(1, bytes)) / 10));
  const value = bytes / 1024 ** unit;
  return `${Number(value.toFixed(value < 10 ? 1 : 0))} ${SIZE_UNITS[unit]}`;
}

/** Milliseconds: "250 ms", "1.5 s", and from a minute on by the two largest units: "3 m 20 s", "2 d 4 h". */
export function formatDuration(ms: number): string {
  if (ms < 1_000) return `${Math.round(ms)} ms`;
  if (ms < 60_000) return `${Number((ms / 1_000).toFixed(1))} s`;
  const largest = TIME_UNITS.findIndex(([, size]) => ms >= size);
  let rest = ms;
  const parts = TIME_UNITS.slice(largest, largest + 2).flatMap(([name, size]) => {
    const count = Math.floor(rest / size);
    rest -= count * size;
    return count === 0 ? [] : [`${count} ${name}`];
  });
  return parts.join(" ");
}

/** "1,234,567". */
export function formatCount(count: number): string {
  return count.toLocaleString("en");
}
