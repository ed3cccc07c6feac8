/**
 * Latencies, counted in buckets that grow with the value: 128 to each doubling, so that a percentile is less
 * than 1 % too high and never too low. Its size does not depend on the number of messages, and the histograms
 * of several threads can be added up, neither of which a sorted array of samples offers.
 */

/** Percentiles in µs. */
export interface LatencySummary {
  p50: number;
  p90: number;
  p99: number;
  p999: number;
  max: number;
}

/** What a histogram holds, also after the way to another thread. `max` in µs. */
export interface HistogramData {
  readonly counts: Float64Array;
  readonly total: number;
  readonly max: number;
}

/** Values are counted in tenths of a µs, up to seven minutes; higher ones count as that. */
const TENTHS = 10;
const HIGHEST = 2 ** 32 - 1;
/** Values below this have a bucket each; above, their first eight binary digits tell the bucket. */
const EXACT = 256;
const BITS = 8;
const BUCKETS = bucketOf(HIGHEST) + 1;

export class Histogram implements HistogramData {
  readonly counts = new Float64Array(BUCKETS);
  total = 0;
  max = 0;

  /** Counts a latency in µs; one below 0 counts as 0. */
  record(micros: number): void {
    const tenths = Math.min(HIGHEST, Math.max(0, Math.round(micros * TENTHS)));
    this.counts[bucketOf(tenths)]! += 1;
    this.total += 1;
    if (micros > this.max) this.max = micros;
  }

  /** Adds all that `other` holds. */
  add(other: HistogramData): void {
    for (let bucket = 0; bucket < BUCKETS; bucket += 1) this.counts[bucket]! += other.counts[bucket]!;
    this.total += other.total;
    this.max = Math.max(this.max, other.max);
  }

  /** The lowest value in µs that `percent` of all are at or below, as the end of its bucket; 0 of none. */
  percentile(percent: number): number {
    // 99.9 / 100 has no exact binary form; without the difference one too many may be wanted.
    const wanted = Math.max(1, Math.ceil((percent / 100) * this.total - 1e-6));
    let below = 0;
    for (let bucket = 0; bucket < BUCKETS; bucket += 1) {
      below += this.counts[bucket]!;
      if (below >= wanted) return Math.min(this.max, endOf(bucket) / TENTHS);
    }
    return this.max;
  }

  /** Null if nothing was recorded. */
  summary(): LatencySummary | null {
    if (this.total === 0) return null;
    return {
      p50: this.percentile(50),
      p90: this.percentile(90),
      p99: this.percentile(99),
      p999: this.percentile(99.9),
      max: this.max,
    };
  }
}

function bucketOf(tenths: number): number {
  if (tenths < EXACT) return tenths;
  const shift = 32 - BITS - Math.clz32(tenths);
  return shift * (EXACT / 2) + (tenths >>> shift);
}

/** The largest value of a bucket. */
function endOf(bucket: number): number {
  if (bucket < EXACT) return bucket;
  const shift = Math.floor(bucket / (EXACT / 2)) - 1;
  return (bucket - shift * (EXACT / 2) + 1) * 2 ** shift - 1;
}
