/** Two builds side by side, from runs that alternated. */
import { ratio } from "../harness/statistics.ts";
import type { Results } from "../results.ts";
import type { CellResult } from "../runner.ts";
import { compact, type Format, micros, table, times, withRange } from "./format.ts";

/** What is compared, where a workload has it. */
const FIGURES: readonly [name: string, title: string, better: "more" | "less", format: Format][] = [
  ["perSecond", "messages/s", "more", compact],
  ["producedPerSecond", "messages/s in", "more", compact],
  ["consumedPerSecond", "messages/s out", "more", compact],
  ["serverCpu", "server CPU time per message", "less", micros],
  ["producerCpu", "producer CPU time per message", "less", micros],
  ["consumerCpu", "consumer CPU time per message", "less", micros],
  ["p50", "p50", "less", micros],
  ["p99", "p99", "less", micros],
  ["ackP50", "acknowledged p50", "less", micros],
  ["ackP99", "acknowledged p99", "less", micros],
  ["deliveryP50", "delivered p50", "less", micros],
  ["deliveryP99", "delivered p99", "less", micros],
];

/**
 * A table: for each workload and figure the medians of the other build (subject `other`) and of this one, and the
 * median ratio of the pairs of runs, which is above 1 where this build is better. Then what failed.
 */
export function comparison(results: Results, other: string): string {
  const failures: string[] = [];
  const rows: string[][] = [];
  for (const now of results.cells.filter(({ subject }) => subject === "tinymq")) {
    const before = results.cells.find((cell) => cell.subject === other && isSameWork(cell, now));
    if (before === undefined) continue;
    const work = `${now.part}${styleOf(now)}`;
    for (const { subject, error } of [before, now]) if (error) failures.push(`${work}, ${subject}: ${error}`);
    for (const [name, title, better, format] of FIGURES) {
      const [old, own] = [before.figures[name], now.figures[name]];
      if (old === undefined || own === undefined) continue;
      const pairs = better === "more" ? ratio(own, old) : ratio(old, own);
      rows.push([work, title, format(old.median), format(own.median), withRange(pairs, times)]);
    }
  }
  const head = ["", "", "other build", "this build", "ratio (above 1: this build is better)"];
  return `${[table(head, rows), ...failures.map((failure) => `failed: ${failure}`)].join("\n")}\n`;
}

function isSameWork(one: CellResult, other: CellResult): boolean {
  return one.part === other.part && JSON.stringify(one.parameters) === JSON.stringify(other.parameters);
}

/** What the title of the part leaves open. */
function styleOf({ workload, parameters }: CellResult): string {
  const { produceStyle, consumeStyle, pinned } = parameters;
  if (workload === "backlog") return `, ${produceStyle}, ${consumeStyle}`;
  return pinned ? ", a core each" : "";
}
