/**
 * The broker against a simple model, through real sessions and frames, with a clock that the test moves.
 * TINYMQ_TEST_SEED and TINYMQ_TEST_RUNS choose what is run; a failure prints its seed and operations.
 */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { AsyncEngine } from "../support/async-engine.ts";
import { Random } from "../support/random.ts";
import { runs } from "../support/runs.ts";
import { operations, setting } from "./operations.ts";
import { Run } from "./run.ts";

const MINUTES = 60_000;
/** Beyond what any run holds. */
const ROOM = 64 * 1024 * 1024;

test(
  "random clients, operators and times: the server does what the model says",
  async () => {
    const chosen = runs(5_000);
    console.log(`seed ${chosen.seed}, ${chosen.numRuns} runs`);
    await fc.assert(
      fc.asyncProperty(setting, operations, async (limits, todo) => {
        const run = new Run(limits);
        for (const operation of todo) await run.perform(operation);
        await run.finish();
      }),
      chosen,
    );
  },
  5 * MINUTES,
);

test(
  "the same with an engine that takes its time",
  async () => {
    const chosen = runs(1_000);
    console.log(`seed ${chosen.seed}, ${chosen.numRuns} runs`);
    await fc.assert(
      fc.asyncProperty(setting, operations, fc.nat(), async (limits, todo, seed) => {
        const run = new Run({ ...limits, maxMemory: ROOM }, new AsyncEngine(new Random(seed)));
        for (const operation of todo) await run.perform(operation);
        await run.finish();
      }),
      chosen,
    );
    expect(chosen.numRuns).toBeGreaterThan(0);
  },
  5 * MINUTES,
);
