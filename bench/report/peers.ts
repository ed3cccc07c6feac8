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
  const ofCell = (what: string, name: string, format: Format, wanted: Omit<Wanted, "subject">): Contest => ({
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
  const awaited = { workload: "awaited" };
  const backlog = { workload: "backlog" };
  return [
    ofCell("awaited one by one, p50", "p50", micros, awaited),
    ofCell("awaited one by one, p99", "p99", micros, awaited),
    ofCell("pipelined produce, messages/s", "producedPerSecond", compact, backlog),
    ofCell("consume with acknowledgement, messages/s", "consumedPerSecond", compact, backlog),
    ...levelsOf(results, "both", "size").map((size) => {
      const wanted = { workload: "both", parameters: { size } };
      return ofCell(`both at once, ${sizeName(size)}, messages/s`, "perSecond", compact, wanted);
    }),
    ...levelsOf(results, "fan-out", "consumers").map((consumers) => {
      const wanted = { workload: "fan-out", parameters: { consumers } };
      return ofCell(`fan-out to ${consumers}, deliveries/s`, "perSecond", compact, wanted);
    }),
    ...levelsOf(results, "rate", "rate").flatMap((rate) => {
      const wanted = { workload: "rate", parameters: { rate } };
      return [
        ofCell(`acknowledged at ${compact(rate)}/s, p99`, "ackP99", micros, wanted),
        ofCell(`delivered at ${compact(rate)}/s, p99`, "deliveryP99", micros, wanted),
      ];
    }),
    ofCell("CPU time of the server per message", "serverCpu", micros, { workload: "both" }),
    ofCost("bytes on the wire per message", "wire-per-message", bytes),
    ofCost("memory after one message", "memory-idle", bytes),
    ofCost("memory per queued message, 100,000 queued", "memory-per-message", bytes, 100_000),
    ofCost("start to first acknowledged message", "start-to-first-ack", milliseconds),
    ofCost("empty folder to first message", "folder-to-first-message", milliseconds),
    ofCost("installed size", "installed-size", bytes),
  ];
}
