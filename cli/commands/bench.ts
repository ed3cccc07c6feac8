/** `bench`: measures a server with messages that it sends and receives itself. */
import { asJson, asText } from "../bench/report.ts";
import type { BenchPlan, BenchResult } from "../bench/result.ts";
import { faultyBench, MOST_MESSAGES, runBench } from "../bench/run.ts";
import { askServer, requireUnused } from "../bench/server.ts";
import { describeFaults } from "../bench/verdict.ts";
import { command, LARGEST_MESSAGE, parseCount, parseValue } from "../command.ts";
import { watchSignals } from "../daemon/signals.ts";
import { PROGRAM } from "../help.ts";
import { bold, print } from "../io/talk.ts";
import { findTarget, TARGET_ARGUMENTS } from "../target.ts";

const DEFAULT_SIZE = "128";
const MOST_CONNECTIONS = 1_000;
/** In the name of a new topic. */
const RANDOM_BYTES = 6;
const HIGHEST_RATE = 100_000_000;

export const bench = command({
  meta: {
    name: "bench",
    description: "measures the speed of a server, and checks that every message arrives exactly once",
  },
  args: {
    size: { type: "string", valueHint: "SIZE", description: "bytes of a message's body (128 B)" },
    count: {
      type: "string",
      valueHint: "NUMBER",
      description: "messages to measure, without those of the warm-up (as many as take about 5 s)",
    },
    producers: { type: "string", valueHint: "NUMBER", description: "producers, each with a connection (1)" },
    consumers: {
      type: "string",
      valueHint: "NUMBER",
      description: "consumers, each with a connection; several share the topic (1)",
    },
    rate: {
      type: "string",
      valueHint: "NUMBER",
      description: "messages a second in all; latencies count from when each was due (as fast as possible)",
    },
    topic: {
      type: "string",
      valueHint: "TOPIC",
      description: "a topic that is empty and not in use (a new one with a random name)",
    },
    json: { type: "boolean", default: false, description: "print one JSON object" },
    ...TARGET_ARGUMENTS,
  },
  examples: [
    `${PROGRAM} bench`,
    `${PROGRAM} bench --rate 10000 --size 1KiB`,
    `${PROGRAM} bench --host queue.example --producers 4 --consumers 4 --json`,
  ],
  async run({ args }) {
    const settings = {
      size: parseValue(
        { name: "size", kind: "size", most: LARGEST_MESSAGE },
        args.size ?? DEFAULT_SIZE,
      ) as number,
      count:
        args.count === undefined ? 0 : parseCount("count", args.count, 0, { least: 1, most: MOST_MESSAGES }),
      producers: parseCount("producers", args.producers, 1, { least: 1, most: MOST_CONNECTIONS }),
      consumers: parseCount("consumers", args.consumers, 1, { least: 1, most: MOST_CONNECTIONS }),
      rate: parseCount("rate", args.rate, 0, { most: HIGHEST_RATE }),
    };
    const target = findTarget(args);
    const server = await askServer(target);
    const topic = args.topic ?? newTopic();
    if (args.topic !== undefined) await requireUnused(target, topic);
    const plan = { ...settings, target, server, topic, ownTopic: args.topic === undefined };
    const result = await measure(plan, !args.json);
    print(args.json ? `${JSON.stringify(asJson(plan, result))}\n` : asText(plan, result, bold));
    if (describeFaults(result.faults) !== "") throw await faultyBench(plan, result.faults);
  },
});

/** A name that nobody else uses. */
function newTopic(): string {
  // Not of node:crypto, which a bundle loads for every command.
  const random = crypto.getRandomValues(new Uint8Array(RANDOM_BYTES));
  return `${PROGRAM}-bench-${Buffer.from(random).toString("hex")}`;
}

/** With a progress bar, if it is wanted. A first signal ends the benchmark early, a second one at once. */
async function measure(plan: BenchPlan, wantsBar: boolean): Promise<BenchResult> {
  // Loaded only where there is a terminal to show it on.
  const bar =
    wantsBar && process.stderr.isTTY ? new (await import("../bench/progress-bar.ts")).ProgressBar() : null;
  const interrupted = new AbortController();
  const signals = watchSignals([], () => bar?.end());
  void signals.first.then(() => interrupted.abort());
  try {
    return await runBench(plan, {
      signal: interrupted.signal,
      onProgress: (part, done) => bar?.show(part, done),
    });
  } finally {
    signals.dispose();
    bar?.end();
  }
}
