/** Numbers for people. */
import type { Figure } from "../harness/statistics.ts";

const DIGITS = 3;
const KIB = 1_024;

export type Format = (value: number) => string;

/** "1.99 M", "43 k", "812". */
export function compact(value: number): string {
  if (value >= 999.5e6) return `${plain(value / 1e9)} G`;
  if (value >= 999_500) return `${plain(value / 1e6)} M`;
  if (value >= 999.5) return `${plain(value / 1e3)} k`;
  return plain(value);
}

/** Three significant digits, no exponent. */
export function plain(value: number): string {
  if (value === 0) return "0";
  return Number(value.toPrecision(DIGITS)).toLocaleString("en", {
    maximumFractionDigits: 6,
    useGrouping: true,
  });
}

export function percent(value: number): string {
  return `${(value * 100).toFixed(value < 0.1 ? 1 : 0)} %`;
}

/** Of µs: "54.1 µs", "4.12 ms", "1.2 s". */
export function micros(value: number): string {
  if (value >= 999_500) return `${plain(value / 1e6)} s`;
  if (value >= 999.5) return `${plain(value / 1e3)} ms`;
  return `${plain(value)} µs`;
}

export function milliseconds(value: number): string {
  return micros(value * 1e3);
}

/** "27.4 MiB". */
export function bytes(value: number): string {
  if (value >= KIB * KIB) return `${plain(value / KIB / KIB)} MiB`;
  if (value >= 10 * KIB) return `${plain(value / KIB)} KiB`;
  return `${plain(value)} B`;
}

export function times(value: number): string {
  return `${value.toFixed(2)} ×`;
}

/** The median, with the range of the runs behind it; "–" where nothing was measured. */
export function withRange(figure: Figure | undefined, format: Format): string {
  if (figure === undefined) return "–";
  const { median, least, most } = figure;
  if (format(least) === format(most)) return format(median);
  return `${format(median)} (${format(least)} – ${format(most)})`;
}

/** A Markdown table, its first column aligned left. `others`: the alignment of the others, right by default. */
export function table(
  head: readonly string[],
  rows: readonly (readonly string[])[],
  others = "---:",
): string {
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`;
  const rule = head.map((_, column) => (column === 0 ? "---" : others));
  return [line(head), line(rule), ...rows.map(line)].join("\n");
}
