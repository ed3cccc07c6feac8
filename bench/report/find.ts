/** Finding figures among the results. */
import { type Figure, ratio } from "../harness/statistics.ts";
import type { Role, Runtime } from "../harness/subject.ts";
import type { Cost, Results, SubjectRecord } from "../results.ts";
import type { CellResult } from "../runner.ts";
import type { Parameters } from "../workloads/workload.ts";

export interface Wanted {
  workload: string;
  subject: string;
  runtime?: Runtime;
  parameters?: Partial<Parameters>;
}

/** The first cell that fits: of one subject in several styles, the one that suits it best. */
export function findCell({ cells }: Results, wanted: Wanted): CellResult | undefined {
  const parameters = { size: 128, producers: 1, consumers: 1, rate: 0, pinned: false, ...wanted.parameters };
  return cells.find(
    (cell) =>
      cell.workload === wanted.workload &&
      cell.subject === wanted.subject &&
      cell.runtime === (wanted.runtime ?? "bun") &&
      Object.entries(parameters).every(([key, value]) => cell.parameters[key as keyof Parameters] === value),
  );
}

export function findFigure(results: Results, wanted: Wanted, name: string): Figure | undefined {
  return findCell(results, wanted)?.figures[name];
}

export function findCost(results: Results, cost: string, subject: string, at?: number): Cost | undefined {
  return results.costs.find(
    (one) => one.cost === cost && one.subject === subject && (at === undefined || one.at === at),
  );
}

/** Body bytes a second as a share of what the control echoed to a Bun client in the same rounds. */
export function shareOfEcho(
  results: Results,
  cell: CellResult | undefined,
  name: string,
): Figure | undefined {
  const echo = results.cells.find(
    ({ workload, runtime, part }) => workload === "echo" && runtime === "bun" && part === cell?.part,
  );
  const [above, below] = [cell?.figures[name], echo?.figures.bytesPerSecond];
  return above && below && ratio(above, below);
}

export function subjectsOf({ subjects }: Results, ...roles: Role[]): SubjectRecord[] {
  return subjects.filter(({ role }) => roles.includes(role));
}

/** The sizes, rates or subscriber counts that a workload was run with, in order. */
export function levelsOf(
  { cells }: Results,
  workload: string,
  name: "size" | "rate" | "consumers",
): number[] {
  const levels = new Set<number>();
  for (const cell of cells) if (cell.workload === workload) levels.add(cell.parameters[name]);
  return [...levels].sort((one, other) => one - other);
}
