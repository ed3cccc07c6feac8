/** Everything that is measured beside the workloads, in the order in which it is measured. */
import { connections } from "./connections.ts";
import type { CostMeasurement } from "./cost-measurement.ts";
import { firstVersion } from "./first-version.ts";
import { flatness } from "./flatness.ts";
import { install } from "./install.ts";
import { memory } from "./memory.ts";
import { start } from "./start.ts";
import { wire } from "./wire.ts";

export const COSTS: readonly CostMeasurement[] = [
  wire,
  start,
  install,
  memory,
  connections,
  flatness,
  firstVersion,
];
