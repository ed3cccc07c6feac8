/**
 * The broker against a simple model, through real sessions and frames, with a clock that the test moves.
 * TINYMQ_TEST_SEED and TINYMQ_TEST_RUNS choose what is run; a failure prints its seed and operations.
 */
import { test } from "bun:test";
import fc from "fast-check";
import { runs } from "../support/runs.ts";
import { type Operation, operations, type Setting, setting } from "./operations.ts";
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

/** Of a setting that limits the memory alone. */
const NO_MORE = { maxTopicMemory: 0, maxDeliveries: 0, maxTtlMs: 0, blink: 0, late: false };

/** What failed once: a setting, and what was done. */
const CASES: [what: string, setting: Setting, todo: Operation[]][] = [
  [
    "a topic that is compacted below another one before that loses messages, and then grows",
    { ...NO_MORE, overflow: "drop-oldest", maxMemory: 20480 },
    [
      { op: "producer", topic: 0, id: 0, back: 0, broadcast: false },
      { op: "consumer", topic: 0, mode: 0, id: 0 },
      { op: "send", who: 0, count: 3, size: 0, delay: 0, ttl: 0, unique: 0, ids: 0 },
      { op: "send", who: 0, count: 2, size: 3000, delay: 0, ttl: 0, unique: 0, ids: 0 },
      { op: "pull", who: 0, max: 0, bytes: 1, wait: 0, ack: 0, retry: false, handed: 0 },
      { op: "settle", who: 0, back: 1, count: 1, outcome: 2, delay: 0 },
      { op: "send", who: 0, count: 3, size: 300, delay: 0, ttl: 0, unique: 0, ids: 0 },
      { op: "pull", who: 0, max: 2, bytes: 0, wait: 0, ack: 0, retry: false, handed: 0 },
      { op: "pull", who: 0, max: 3, bytes: 0, wait: 0, ack: 0, retry: false, handed: 0 },
      { op: "send", who: 0, count: 2, size: 50, delay: 0, ttl: 0, unique: 0, ids: 0 },
      { op: "consumer", topic: 1, mode: 0, id: 0 },
      { op: "pull", who: 0, max: 2, bytes: 0, wait: 0, ack: 3, retry: false, handed: 0 },
      { op: "settle", who: 0, back: 5, count: 2, outcome: 2, delay: 0 },
      { op: "redrive", topic: 0, limit: 1, dead: false },
      { op: "send", who: 0, count: 1, size: 3000, delay: 0, ttl: 0, unique: 0, ids: 0 },
    ],
  ],
  [
    "an empty topic of dead letters that is removed, and made again by those that wait for room",
    { ...NO_MORE, overflow: "reject", maxMemory: 12288 },
    [
      { op: "producer", topic: 0, id: 0, back: 0, broadcast: false },
      { op: "consumer", topic: 0, mode: 0, id: 0 },
      { op: "send", who: 0, count: 5, size: 300, delay: 5, ttl: 0, unique: 0, ids: 0 },
      { op: "send", who: 0, count: 1, size: 3000, delay: 0, ttl: 0, unique: 0, ids: 0 },
      { op: "pull", who: 0, max: 0, bytes: 0, wait: 0, ack: 0, retry: false, handed: 0 },
      { op: "oldConsumer", topic: 1 },
      { op: "send", who: 0, count: 1, size: 300, delay: 0, ttl: 0, unique: 0, ids: 0 },
      { op: "settle", who: 0, back: 1, count: 1, outcome: 2, delay: 0 },
      { op: "pull", who: 0, max: 0, bytes: 0, wait: 0, ack: 0, retry: false, handed: 0 },
      { op: "pull", who: 0, max: 0, bytes: 0, wait: 30, ack: 0, retry: false, handed: 0 },
      { op: "advance", seconds: 400 },
      { op: "pull", who: 0, max: 0, bytes: 0, wait: 0, ack: 0, retry: false, handed: 0 },
      { op: "send", who: 0, count: 0, size: 0, delay: 0, ttl: 0, unique: 0, ids: 0 },
      { op: "pull", who: 0, max: 0, bytes: 0, wait: 0, ack: 0, retry: false, handed: 0 },
      { op: "rewind", who: 0, back: 0, delay: 0 },
      { op: "handed", who: 0, back: 0 },
    ],
  ],
];

for (const [what, limits, todo] of CASES) {
  test(what, async () => {
    const run = new Run(limits);
    for (const operation of todo) await run.perform(operation);
    run.finish();
  });
}
