/**
 * The broker against a simple model, through real sessions and frames, with a clock that the test moves.
 * TINYMQ_TEST_SEED and TINYMQ_TEST_RUNS choose what is run; a failure prints its seed and operations.
 */
import { test } from "bun:test";
import fc from "fast-check";
import { runs } from "../support/runs.ts";
import { operations, setting } from "./operations.ts";
import { Run } from "./run.ts";

const MINUTES = 60_000;

test(
  "random clients, operators and times: the server does what the model says",
  async () => {
    const chosen = runs(5_000);
    console.log(`seed ${chosen.seed}, ${chosen.numRuns} runs`);
    await fc.assert(
      fc.asyncProperty(setting, operations, async (limits, todo) => {
        const run = new Run(limits);
        for (const operation of todo) await run.perform(operation);
        run.finish();
      }),
      chosen,
    );
  },
  5 * MINUTES,
);
