/** The plots of docs/benchmarks.md. */
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

const perSecond: Format = (value) => `${compact(value)}/s`;

const BOTH = { workload: "both" };
const BACKLOG = { workload: "backlog" };
const LARGE = { workload: "both", parameters: { size: 16_384 } };
const HUNDRED = { workload: "fan-out", parameters: { consumers: 100 } };

/** Bar charts, each of one figure of a workload. */
const BARS: readonly [
  name: string,
  title: string,
  wanted: Omit<Wanted, "subject">,
  figure: string,
  format: Format,
][] = [
  ["both", "Both at once, one to one, 128 B: messages a second", BOTH, "perSecond", perSecond],
  ["both-16k", "Both at once, one to one, 16 KiB: messages a second", LARGE, "perSecond", perSecond],
  ["produce", "Pipelined produce, 128 B: messages a second", BACKLOG, "producedPerSecond", perSecond],
  [
    "consume",
    "Consume with acknowledgement, 128 B: messages a second",
    BACKLOG,
    "consumedPerSecond",
    perSecond,
  ],
  ["awaited", "Awaited one by one, 128 B: p50", { workload: "awaited" }, "p50", micros],
  ["fan-out", "Fan-out to 100 subscribers, 128 B: deliveries a second", HUNDRED, "perSecond", perSecond],
  ["cpu", "Both at once, 128 B: CPU time of the server per message", BOTH, "serverCpu", micros],
];

/** By file name, without `.svg`. */
export function plotsOf(results: Results): Map<string, string> {
  const plots = new Map<string, string>();
  const add = (name: string, title: string, bars: readonly Bar[], format: Format): void => {
    if (bars.length > 1) plots.set(name, barChart(title, bars, format));
  };
  for (const [name, title, wanted, figure, format] of BARS) {
    add(name, title, barsOf(results, wanted, figure), format);
  }
  const wireTitle = "Bytes on the wire per message of 128 B, in and out";
  add("wire", wireTitle, costBars(results, "wire-per-message"), bytes);
  const memoryTitle = "Resident memory per queued message of 128 B, 100,000 queued";
  add("memory", memoryTitle, costBars(results, "memory-per-message", 100_000), bytes);
  for (const [name, figure, what] of [
    ["latency-acknowledged", "ackP99", "acknowledgement"],
    ["latency-delivered", "deliveryP99", "delivery"],
  ] as const) {
    const lines = latencyLines(results, figure);
    if (lines.length === 0) continue;
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
