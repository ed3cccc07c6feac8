/** Where a peer does better than tinyMQ. */
import type { Figure } from "../harness/statistics.ts";
import { sizeName } from "../plan.ts";
import type { Results } from "../results.ts";
import { findCost, findFigure, levelsOf, subjectsOf, type Wanted } from "./find.ts";
import { bytes, compact, type Format, micros, milliseconds } from "./format.ts";

interface Contest {
  what: string;
  format: Format;
  better: "more" | "less";
  figure(subject: string): Figure | undefined;
}

/** One line for each contest that a peer wins, the best peer first; by the medians. */
export function wonByPeers(results: Results): string[] {
  return contests(results).flatMap(({ what, format, better, figure }) => {
    const own = figure("tinymq");
    if (own === undefined) return [];
    const sign = better === "more" ? 1 : -1;
    const winners = subjectsOf(results, "peer")
      .flatMap(({ key, name }) => {
        const found = figure(key);
        return found && (found.median - own.median) * sign > 0 ? [{ name, median: found.median }] : [];
      })
      .toSorted((one, other) => (other.median - one.median) * sign);
    if (winners.length === 0) return [];
    const list = winners.map(({ name, median }) => `${name} ${format(median)}`).join(", ");
    return [`- ${what}: ${list}; tinyMQ ${format(own.median)}`];
  });
}

function contests(results: Results): Contest[] {
  const ofCell = (what: string, wanted: Omit<Wanted, "subject">, name: string, format: Format): Contest => ({
    what,
    format,
    better: format === compact ? "more" : "less",
    figure: (subject) => findFigure(results, { ...wanted, subject }, name),
  });
  const ofCost = (what: string, cost: string, format: Format, at?: number): Contest => ({
    what,
    format,
    better: "less",
    figure: (subject) => findCost(results, cost, subject, at)?.figure,
  });
  return [
    ofCell("awaited one by one, p50", { workload: "awaited" }, "p50", micros),
    ofCell("awaited one by one, p99", { workload: "awaited" }, "p99", micros),
    ofCell("pipelined produce, messages/s", { workload: "backlog" }, "producedPerSecond", compact),
    ofCell("consume with acknowledgement, messages/s", { workload: "backlog" }, "consumedPerSecond", compact),
    ...levelsOf(results, "both", "size").map((size) =>
      ofCell(
        `both at once, ${sizeName(size)}, messages/s`,
        { workload: "both", parameters: { size } },
        "perSecond",
        compact,
      ),
    ),
    ...levelsOf(results, "fan-out", "consumers").map((consumers) =>
      ofCell(
        `fan-out to ${consumers}, deliveries/s`,
        { workload: "fan-out", parameters: { consumers } },
        "perSecond",
        compact,
      ),
    ),
    ...levelsOf(results, "rate", "rate").flatMap((rate) => [
      ofCell(
        `acknowledged at ${compact(rate)}/s, p99`,
        { workload: "rate", parameters: { rate } },
        "ackP99",
        micros,
      ),
      ofCell(
        `delivered at ${compact(rate)}/s, p99`,
        { workload: "rate", parameters: { rate } },
        "deliveryP99",
        micros,
      ),
    ]),
    ofCell("CPU time of the server per message", { workload: "both" }, "serverCpu", micros),
    ofCost("bytes on the wire per message", "wire-per-message", bytes),
    ofCost("memory after one message", "memory-idle", bytes),
    ofCost("memory per queued message, 100,000 queued", "memory-per-message", bytes, 100_000),
    ofCost("start to first acknowledged message", "start-to-first-ack", milliseconds),
    ofCost("empty folder to first message", "folder-to-first-message", milliseconds),
    ofCost("installed size", "installed-size", bytes),
  ];
}
