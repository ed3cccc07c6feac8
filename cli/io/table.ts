/** Text in columns. */

/**
 * Lines of cells, each column as wide as its widest cell. The first column is aligned left, the others as
 * `others` says. Every row has as many cells as the first.
 */
export function alignColumns(
  rows: readonly (readonly string[])[],
  others: "left" | "right" = "left",
): string[] {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  const pad = (cell: string, column: number): string =>
    column > 0 && others === "right" ? cell.padStart(widths[column]!) : cell.padEnd(widths[column]!);
  return rows.map((row) => row.map(pad).join("  ").trimEnd());
}

/** A line for each name and its value, ending in a newline. */
export function table(rows: readonly (readonly [name: string, value: string])[]): string {
  return alignColumns(rows)
    .map((line) => `${line}\n`)
    .join("");
}

/** A line of titles, and lines whose cells are names and then numbers, ending in a newline. */
export function grid(
  titles: readonly string[],
  rows: readonly (readonly string[])[],
  paint: (title: string) => string,
): string {
  const [head = "", ...lines] = alignColumns([titles, ...rows], "right");
  return [paint(head), ...lines, ""].join("\n");
}
