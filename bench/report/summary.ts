/** The results as a table for the terminal. */
import type { Results } from "../results.ts";
export function summary(results: Results): string {
  return (
    results.cells
      .map(
        (c) =>
          `${c.subject} ${c.runtime} ${c.workload} ${JSON.stringify(c.parameters)} ${
            c.error ??
            Object.entries(c.figures)
              .map(([k, f]) => `${k}=${f.median.toPrecision(4)}`)
              .join(" ")
          }`,
      )
      .join("\n") + "\n"
  );
}
