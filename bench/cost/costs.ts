/** What is measured beside the workloads. */
import type { Subject } from "../harness/subject.ts";
import type { Progress } from "../progress.ts";
import type { Cost } from "../results.ts";
import type { Mode, Settings } from "../settings.ts";
import { connections } from "./connections.ts";
import { firstVersion } from "./first-version.ts";
import { flatness } from "./flatness.ts";
import { install } from "./install.ts";
import { memory } from "./memory.ts";
import { bare, firstAck } from "./start.ts";
import { wire } from "./wire.ts";

export interface CostContext {
  settings: Settings;
  subjects: readonly Subject[];
  progress: Progress;
  /** Filled with what could not be measured, and why. */
  skipped: Record<string, string>;
}

export interface CostMeasurement {
  /** For `--only`. */
  readonly key: string;
  readonly title: string;
  readonly modes: readonly Mode[];
  measure(context: CostContext): Promise<Cost[]>;
}

export const COSTS: readonly CostMeasurement[] = [
  wire,
  bare,
  firstAck,
  install,
  memory,
  connections,
  flatness,
  firstVersion,
];
