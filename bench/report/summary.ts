/** The results in short, for the terminal. */
import type { Figure } from "../harness/statistics.ts";
import { sizeName } from "../plan.ts";
import type { Results } from "../results.ts";
import { compact, micros, withRange } from "./format.ts";
import { targetsOf } from "./targets.ts";

export function summary(results: Results): string {
  const lines: string[] = [];
  for (const { workload, part, subject, runtime, parameters, figures, error } of results.cells) {
    if (workload === "echo") continue;
    const { produceStyle, consumeStyle, pinned } = parameters;
    const style = workload === "backlog" ? `, ${produceStyle}, ${consumeStyle}` : pinned ? ", pinned" : "";
    const name = `${subject} (${runtime}${style})`;
    lines.push(`${part.padEnd(48)} ${name.padEnd(30)} ${error ?? inShort(workload, figures)}`);
  }
  lines.push("", ...echoLines(results), "");
  for (const { what, wanted, found, format, absolute, reached } of targetsOf(results)) {
    if (found === undefined) continue;
    const verdict = reached === undefined ? "?" : reached ? "reached" : "MISSED";
    lines.push(`${verdict.padEnd(8)} ${what}: ${withRange(found, format)}, wanted ${wanted}; ${absolute}`);
  }
  for (const [name, why] of Object.entries(results.skipped)) lines.push(`skipped  ${name}: ${why}`);
  return `${lines.join("\n")}\n`;
}

function inShort(workload: string, figures: Record<string, Figure>): string {
  const rate = (value: number): string => `${compact(value)}/s`;
  if (workload === "awaited") {
    return `p50 ${withRange(figures.p50, micros)}, p99 ${withRange(figures.p99, micros)}`;
  }
  if (workload === "backlog") {
    return `in ${withRange(figures.producedPerSecond, rate)}, out ${withRange(figures.consumedPerSecond, rate)}`;
  }
  if (workload === "rate") {
    const ack = `acknowledged p50 ${micros(figures.ackP50!.median)}, p99 ${micros(figures.ackP99!.median)}`;
    // The bare echo has nothing that is delivered.
    if (figures.deliveryP50 === undefined) return ack;
    return `${ack}; delivered p50 ${micros(figures.deliveryP50!.median)}, p99 ${micros(figures.deliveryP99!.median)}`;
  }
  return withRange(figures.perSecond, rate);
}

function echoLines({ cells }: Results): string[] {
  const rate = (value: number): string => `${compact(value)}B/s`;
  return cells
    .filter(({ workload, runtime }) => workload === "echo" && runtime === "bun")
    .map(({ part, figures, parameters }) => {
      const frames = `control, ${sizeName(parameters.size)} frames`;
      return `${part.padEnd(48)} ${frames.padEnd(30)} ${withRange(figures.bytesPerSecond, rate)}`;
    });
}
