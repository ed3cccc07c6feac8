/** Latencies of one run, in µs: HDR histogram, three significant digits, 0.1 µs to 60 s. */
import { build, type Histogram } from "hdr-histogram-js";

/** Percentiles in µs. */
export interface LatencySummary {
  count: number;
  p50: number;
  p99: number;
  p999: number;
  max: number;
}

/** The histogram counts tenths of a µs. */
const TENTHS = 10;
const HIGHEST = 60_000_000 * TENTHS;

export class Latency {
  readonly #histogram: Histogram = build({
    lowestDiscernibleValue: 1,
    highestTrackableValue: HIGHEST,
    numberOfSignificantValueDigits: 3,
  });

  /** Takes µs. */
  record(micros: number): void {
    this.#histogram.recordValue(Math.min(HIGHEST, Math.max(1, Math.round(micros * TENTHS))));
  }

  summary(): LatencySummary {
    const at = (percentile: number) => this.#histogram.getValueAtPercentile(percentile) / TENTHS;
    return {
      count: this.#histogram.totalCount,
      p50: at(50),
      p99: at(99),
      p999: at(99.9),
      max: this.#histogram.maxValue / TENTHS,
    };
  }
}
