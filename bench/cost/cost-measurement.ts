/** What a measurement of costs is: something beside the workloads. */
import type { Subject } from "../harness/subject.ts";
import type { Progress } from "../progress.ts";
import type { Cost } from "../results.ts";
import type { Mode, Settings } from "../settings.ts";

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
