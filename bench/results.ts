/** What a run of the bench leaves behind, as JSON: everything that the tables and plots are made from. */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import type { Figure } from "./harness/statistics.ts";
import type { Role } from "./harness/subject.ts";
import type { Machine } from "./machine.ts";
import type { CellResult } from "./runner.ts";

/** What was measured beside the workloads. */
export interface Cost {
  /** Its name: "memory-per-message". */
  cost: string;
  subject: string;
  /** At which number of messages, topics or connections; null where there is none. */
  at: number | null;
  unit: "bytes" | "ms" | "µs" | "ratio" | "/s";
  figure: Figure;
}

export interface SubjectRecord {
  key: string;
  name: string;
  role: Role;
  version: string;
  client: string;
  promise: string;
  command: string;
  settings: string;
}

export interface Results {
  /** ISO 8601. */
  began: string;
  seconds: number;
  mode: "full" | "quick" | "smoke";
  /** Runs of each figure. */
  runs: number;
  /** How long the measured part of a run was to be. */
  secondsPerRun: number;
  command: string;
  machine: Machine;
  subjects: SubjectRecord[];
  /** By name: what was not measured, and why. */
  skipped: Record<string, string>;
  cells: CellResult[];
  costs: Cost[];
}

export function writeResults(file: string, results: Results): void {
  mkdirSync(dirname(file), { recursive: true });
  // One line for each cell: a diff of two runs stays readable.
  const rounded = JSON.stringify(results, roundNumbers, 1);
  writeFileSync(
    file,
    `${rounded.replace(/\[\s+(-?[\d.e+]+(?:,\s+-?[\d.e+]+)*)\s+\]/g, (list) => list.replace(/\s+/g, " "))}\n`,
  );
}

export function readResults(file: string): Results {
  return JSON.parse(readFileSync(file, "utf8")) as Results;
}

/** Five digits: none of these measurements is more exact. */
function roundNumbers(_key: string, value: unknown): unknown {
  if (typeof value !== "number" || Number.isInteger(value)) return value;
  return Math.abs(value) >= 1e5 ? Math.round(value) : Number(value.toPrecision(5));
}
