/** Figures over several runs: the median, with the range. */

export interface Figure {
  median: number;
  least: number;
  most: number;
  /** Of each run, in their order. */
  runs: number[];
}

/** Of at least one value. */
export function figure(runs: readonly number[]): Figure {
  if (runs.length === 0) throw new RangeError("a figure needs a run");
  const sorted = [...runs].sort((one, other) => one - other);
  const middle = sorted.length / 2;
  const low = sorted[Math.ceil(middle) - 1]!;
  const high = sorted[Math.floor(middle)]!;
  return { median: (low + high) / 2, least: sorted[0]!, most: sorted.at(-1)!, runs: [...runs] };
}

/** The figure of run-by-run ratios, where both sides were measured in the same rounds. */
export function ratio(above: Figure, below: Figure): Figure {
  const rounds = Math.min(above.runs.length, below.runs.length);
  return figure(Array.from({ length: rounds }, (_, run) => above.runs[run]! / below.runs[run]!));
}
