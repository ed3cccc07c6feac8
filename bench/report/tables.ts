/** The tables of docs/benchmarks.md. */
import type { Figure } from "../harness/statistics.ts";
import type { Runtime } from "../harness/subject.ts";
import { sizeName } from "../plan.ts";
import type { Results, SubjectRecord } from "../results.ts";
import { findCell, findCost, findFigure, levelsOf, subjectsOf, type Wanted } from "./find.ts";
import { compact, type Format, micros, table, withRange } from "./format.ts";
import { targetsOf } from "./targets.ts";

type Row = (subject: string, runtime: Runtime) => (Figure | string | undefined)[];

/** A row for every subject and runtime that has any of the figures. */
function subjectTable(
  results: Results,
  head: readonly string[],
  format: Format,
  row: Row,
  runtimes: readonly Runtime[] = ["bun", "node"],
): string {
  const rows: string[][] = [];
  for (const runtime of runtimes) {
    for (const { key, name } of subjectsOf(results, "control", "tinymq", "peer")) {
      const found = row(key, runtime);
      if (found.every((one) => one === undefined)) continue;
      const cells = found.map((one) => (typeof one === "string" ? one : withRange(one, format)));
      rows.push([runtime === "node" ? `${name}, Node client` : name, ...cells]);
    }
  }
  return rows.length === 0 ? "Not measured in this run." : table(head, rows);
}

export function targetTable(results: Results): string {
  const rows = targetsOf(results).map(({ what, wanted, found, format, absolute, reached }) => {
    const verdict = reached === undefined ? "not measured" : reached ? "reached" : "**missed**";
    return [what, wanted, withRange(found, format), absolute, verdict];
  });
  return table(["target", "wanted", "found", "", ""], rows);
}

export function bothTable(results: Results): string {
  const sizes = levelsOf(results, "both", "size");
  return subjectTable(results, ["messages/s", ...sizes.map(sizeName)], compact, (subject, runtime) =>
    sizes.map((size) =>
      orFailure(results, { workload: "both", subject, runtime, parameters: { size } }, "perSecond"),
    ),
  );
}

export function backlogTable(results: Results): string {
  const styles: [string, Wanted["parameters"]][] = [
    ["", {}],
    [", poll() one by one", { consumeStyle: "poll" }],
    [", groups of 5,000 with Promise.all", { produceStyle: "groups" }],
    [", many in one call", { produceStyle: "many" }],
  ];
  const rows: string[][] = [];
  for (const runtime of ["bun", "node"] as const) {
    for (const { key, name, role } of subjectsOf(results, "tinymq", "peer")) {
      for (const [style, parameters] of role === "tinymq" ? styles : styles.slice(0, 1)) {
        const cell = findCell(results, { workload: "backlog", subject: key, runtime, parameters });
        if (cell === undefined) continue;
        const { producedPerSecond, consumedPerSecond } = cell.figures;
        const client = runtime === "node" ? ", Node client" : "";
        const figures = [producedPerSecond, consumedPerSecond].map((figure) => withRange(figure, compact));
        rows.push([
          `${name}${style}${client}`,
          ...(cell.error === undefined ? figures : [`failed: ${cell.error}`, ""]),
        ]);
      }
    }
  }
  return rows.length === 0 ? "Not measured in this run." : table(["messages/s", "in", "out"], rows);
}

export function awaitedTable(results: Results): string {
  return [false, true]
    .map((pinned) =>
      subjectTable(
        results,
        [pinned ? "a core each" : "", "p50", "p99", "p99.9"],
        micros,
        (subject, runtime) => {
          const wanted = { workload: "awaited", subject, runtime, parameters: { pinned } };
          return ["p50", "p99", "p999"].map((name) => findFigure(results, wanted, name));
        },
      ),
    )
    .join("\n\n");
}

export function manyTable(results: Results): string {
  const many = (name: "producers" | "consumers") => (subject: string, runtime: Runtime) => {
    const cell = results.cells.find(
      (one) =>
        one.workload === "both" &&
        one.subject === subject &&
        one.runtime === runtime &&
        one.parameters[name] > 1,
    );
    return cell?.figures.perSecond;
  };
  const head = ["messages/s", "many to one", "one to many, shared"];
  return subjectTable(results, head, compact, (subject, runtime) => [
    many("producers")(subject, runtime),
    many("consumers")(subject, runtime),
  ]);
}

export function fanOutTable(results: Results): string {
  const levels = levelsOf(results, "fan-out", "consumers");
  const head = ["deliveries/s", ...levels.map((level) => `to ${level.toLocaleString("en")}`)];
  return subjectTable(results, head, compact, (subject, runtime) =>
    levels.map((consumers) =>
      orFailure(results, { workload: "fan-out", subject, runtime, parameters: { consumers } }, "perSecond"),
    ),
  );
}

/** p50 / p99 / p99.9 at each rate. */
export function rateTable(results: Results, side: "ack" | "delivery"): string {
  const rates = levelsOf(results, "rate", "rate");
  const head = ["p50 / p99 / p99.9", ...rates.map((rate) => `${compact(rate)}/s`)];
  return subjectTable(results, head, micros, (subject, runtime) =>
    rates.map((rate) => {
      const cell = findCell(results, { workload: "rate", subject, runtime, parameters: { rate } });
      if (cell === undefined) return undefined;
      if (cell.error !== undefined) return "failed";
      const figures = ["P50", "P99", "P999"].map((name) => cell.figures[side + name]);
      // The control has no consumer.
      if (figures.includes(undefined)) return undefined;
      const { saturated, achieved } = cell.figures;
      return saturated && saturated.median > 0
        ? `saturated at ${compact(achieved?.median ?? 0)}/s`
        : figures.map((figure) => micros(figure!.median)).join(" / ");
    }),
  );
}

const CPU_FIGURES = ["serverCpu", "producerCpu", "consumerCpu"] as const;

export function cpuTable(results: Results): string {
  const head = ["CPU time per message, 128 B", "server", "producer", "consumer"];
  return subjectTable(results, head, micros, (subject, runtime) =>
    CPU_FIGURES.map((name) => findFigure(results, { workload: "both", subject, runtime }, name)),
  );
}

/** tinyMQ with Bun clients, a row for each part: docs/scaling.md checks its model with it. */
export function cpuByPartTable({ cells }: Results): string {
  const rows = cells.flatMap(({ part, subject, runtime, figures }) =>
    subject === "tinymq" && runtime === "bun" && figures.serverCpu !== undefined
      ? [[part, ...CPU_FIGURES.map((name) => withRange(figures[name], micros))]]
      : [],
  );
  return rows.length === 0
    ? "Not measured in this run."
    : table(["tinyMQ's CPU time per message", "server", "producer", "consumer"], rows);
}

/** A row for each subject, a column for each cost. */
export function costTable(
  results: Results,
  columns: readonly [title: string, cost: string, format: Format, at?: number][],
): string {
  const rows = subjectsOf(results, "control", "tinymq", "peer").flatMap(({ key, name }: SubjectRecord) => {
    const found = columns.map(([, cost, , at]) => findCost(results, cost, key, at)?.figure);
    if (found.every((one) => one === undefined)) return [];
    return [[name, ...found.map((one, column) => withRange(one, columns[column]![2]))]];
  });
  return rows.length === 0
    ? "Not measured in this run."
    : table(["", ...columns.map(([title]) => title)], rows);
}

/** A row for each level, of tinyMQ. */
export function levelTable(
  results: Results,
  head: string,
  costs: readonly [title: string, cost: string, format: Format][],
): string {
  const levels = [
    ...new Set(results.costs.filter(({ cost }) => cost === costs[0]![1]).map(({ at }) => at ?? 0)),
  ];
  if (levels.length === 0) return "Not measured in this run.";
  const rows = levels.map((at) => [
    at.toLocaleString("en"),
    ...costs.map(([, cost, format]) => withRange(findCost(results, cost, "tinymq", at)?.figure, format)),
  ]);
  return table([head, ...costs.map(([title]) => title)], rows);
}

function orFailure(results: Results, wanted: Wanted, name: string): Figure | string | undefined {
  const cell = findCell(results, wanted);
  return cell?.error === undefined ? cell?.figures[name] : "failed";
}

/** Messages that were lost where that is promised no better, and that arrived twice where that is allowed. */
export function arrivalsNote({ cells, subjects }: Results): string {
  const lines = cells.flatMap(({ part, subject, figures, count }) => {
    const name = subjects.find(({ key }) => key === subject)?.name ?? subject;
    const note = (figure: Figure | undefined, what: string): string[] =>
      figure !== undefined && figure.most > 0
        ? [`- ${name}, ${part}: up to ${figure.most} ${what} in a run of ${count}`]
        : [];
    return [...note(figures.missing, "lost"), ...note(figures.duplicates, "came twice")];
  });
  return lines.length === 0 ? "Every message of every run arrived, and none came twice." : lines.join("\n");
}
