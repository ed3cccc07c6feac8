/** The plots of docs/benchmarks.md. */
import { sizeName } from "../plan.ts";
import type { Results, SubjectRecord } from "../results.ts";
import { findFigure, levelsOf, subjectsOf, type Wanted } from "./find.ts";
import { bytes, compact, type Format, micros } from "./format.ts";
import { type Bar, barChart, type Line, lineChart } from "./svg.ts";

const OWN_COLOR = "#e4572e";
const COLORS = [
  "#4c78a8",
  "#54a24b",
  "#b279a2",
  "#eeca3b",
  "#72b7b2",
  "#9d755d",
  "#ff9da6",
  "#79706e",
  "#2f6f9f",
  "#a0a83a",
];

/** By file name, without `.svg`. */
export function plotsOf(results: Results): Map<string, string> {
  const plots = new Map<string, string>();
  const bars = (
    name: string,
    title: string,
    wanted: Omit<Wanted, "subject">,
    figure: string,
    format: Format,
  ): void => {
    const found = barsOf(results, wanted, figure);
    if (found.length > 1) plots.set(name, barChart(title, found, format));
  };
  const rate: Format = (value) => `${compact(value)}/s`;
  bars("both", "Both at once, one to one, 128 B: messages a second", { workload: "both" }, "perSecond", rate);
  const large = { workload: "both", parameters: { size: 16_384 } };
  bars(
    "both-16k",
    `Both at once, one to one, ${sizeName(16_384)}: messages a second`,
    large,
    "perSecond",
    rate,
  );
  bars(
    "produce",
    "Pipelined produce, 128 B: messages a second",
    { workload: "backlog" },
    "producedPerSecond",
    rate,
  );
  bars(
    "consume",
    "Consume with acknowledgement, 128 B: messages a second",
    { workload: "backlog" },
    "consumedPerSecond",
    rate,
  );
  bars("awaited", "Awaited one by one, 128 B: p50", { workload: "awaited" }, "p50", micros);
  const hundred = { workload: "fan-out", parameters: { consumers: 100 } };
  bars("fan-out", "Fan-out to 100 subscribers, 128 B: deliveries a second", hundred, "perSecond", rate);
  bars(
    "cpu",
    "Both at once, 128 B: CPU time of the server per message",
    { workload: "both" },
    "serverCpu",
    micros,
  );
  const wire = costBars(results, "wire-per-message");
  if (wire.length > 1)
    plots.set("wire", barChart("Bytes on the wire per message of 128 B, in and out", wire, bytes));
  const memory = costBars(results, "memory-per-message", 100_000);
  const title = "Resident memory per queued message of 128 B, 100,000 queued";
  if (memory.length > 1) plots.set("memory", barChart(title, memory, bytes));
  for (const [name, figure] of [
    ["latency-acknowledged", "ackP99"],
    ["latency-delivered", "deliveryP99"],
  ] as const) {
    const lines = latencyLines(results, figure);
    if (lines.length === 0) continue;
    const what = name === "latency-acknowledged" ? "acknowledgement" : "delivery";
    const axes = { x: "messages a second (offered)", y: "p99", formatX: compact, formatY: micros };
    plots.set(name, lineChart(`Time to ${what} at a fixed rate, 128 B: p99`, axes, lines));
  }
  return plots;
}

function barsOf(results: Results, wanted: Omit<Wanted, "subject">, name: string): Bar[] {
  return subjectsOf(results, "control", "tinymq", "peer").flatMap((subject): Bar[] => {
    const figure = findFigure(results, { ...wanted, subject: subject.key }, name);
    return figure === undefined
      ? []
      : [{ ...barOf(subject), value: figure.median, least: figure.least, most: figure.most }];
  });
}

function costBars(results: Results, cost: string, at?: number): Bar[] {
  return results.costs.flatMap((one): Bar[] => {
    const subject = results.subjects.find(({ key }) => key === one.subject);
    if (one.cost !== cost || (at !== undefined && one.at !== at) || subject === undefined) return [];
    const { median, least, most } = one.figure;
    return [{ ...barOf(subject), value: median, least, most }];
  });
}

function barOf({ role, name }: SubjectRecord): Pick<Bar, "label" | "color"> {
  return { label: name, color: role === "tinymq" ? OWN_COLOR : role === "control" ? "#9aa4ad" : COLORS[0]! };
}

function latencyLines(results: Results, name: string): Line[] {
  return subjectsOf(results, "tinymq", "peer").flatMap((subject, index): Line[] => {
    const points = levelsOf(results, "rate", "rate").flatMap((rate) => {
      const found = findFigure(
        results,
        { workload: "rate", subject: subject.key, parameters: { rate } },
        name,
      );
      return found === undefined ? [] : [{ x: rate, y: found.median }];
    });
    const color = subject.role === "tinymq" ? OWN_COLOR : COLORS[(index - 1) % COLORS.length]!;
    return points.length === 0 ? [] : [{ label: subject.name, color, points }];
  });
}
