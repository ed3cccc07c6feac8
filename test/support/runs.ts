/**
 * How often properties are run, and from which seed: TINYMQ_TEST_SEED and TINYMQ_TEST_RUNS change both.
 * fast-check prints the seed of a failure, and the path to its smallest example.
 */
import type { Parameters } from "fast-check";

/** What `fc.assert` is told: `runs` of them where the environment says nothing else. */
export function runs(usual: number): Parameters<unknown> & { seed: number } {
  const { TINYMQ_TEST_SEED: seed, TINYMQ_TEST_RUNS: wanted } = process.env;
  return {
    seed: seed === undefined ? Date.now() ^ (Math.random() * 2 ** 32) : Number(seed),
    numRuns: wanted === undefined ? usual : Number(wanted),
  };
}
