/** `bench`: measures a server with messages of its own. */
import type { BenchPlan, Measured } from "../bench/measured.ts";
import { asJson, asText } from "../bench/report.ts";
import { faultyBench, MOST_MESSAGES, runBench } from "../bench/run.ts";
import { askServer, requireUnused } from "../bench/server.ts";
import { describeFaults } from "../bench/verdict.ts";
import { command, LARGEST_MESSAGE, parseCount, parseValue } from "../command.ts";
import { watchSignals } from "../daemon/signals.ts";
import { PROGRAM } from "../help.ts";
import { ProgressBar } from "../io/progress-bar.ts";
import { bold, print } from "../io/talk.ts";
import { findTarget, TARGET_ARGUMENTS } from "../target.ts";

const DEFAULT_SIZE = "128";
const MOST_CONNECTIONS = 1_000;
/** Of the name of a topic. */
const RANDOM_BYTES = 6;
const HIGHEST_RATE = 100_000_000;

export const bench = command({
  meta: { name: "bench", description: "measures how fast a server is, and checks that it loses nothing" },
  args: {
    size: { type: "string", valueHint: "SIZE", description: "bytes of a message's body (128 B)" },
    count: {
      type: "string",
      valueHint: "NUMBER",
      description: "messages, beside those of the warm-up (as many as take about 5 s)",
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
      description: "messages a second in all; latencies count from when a message was due (as many as go)",
    },
    topic: {
      type: "string",
      valueHint: "TOPIC",
      description: "an empty topic that nobody uses (a new one with a random name)",
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
    const measured = await measure(plan, !args.json);
    print(args.json ? `${JSON.stringify(asJson(plan, measured))}\n` : asText(plan, measured, bold));
    if (describeFaults(measured.faults) !== "") throw await faultyBench(plan, measured.faults);
  },
});

/** A name that nobody else uses. */
function newTopic(): string {
  // Not of node:crypto, which a bundle loads for every command.
  const random = crypto.getRandomValues(new Uint8Array(RANDOM_BYTES));
  return `${PROGRAM}-bench-${Buffer.from(random).toString("hex")}`;
}

/** With a progress bar, if it is wanted. A first signal ends the bench early, a second one at once. */
async function measure(plan: BenchPlan, wantsBar: boolean): Promise<Measured> {
  const bar = wantsBar && process.stderr.isTTY ? new ProgressBar() : null;
  const interruption = new AbortController();
  const signals = watchSignals([], () => bar?.end());
  void signals.first.then(() => interruption.abort());
  try {
    return await runBench(plan, {
      interruption: interruption.signal,
      progress: (part, done) => bar?.show(part, done),
    });
  } finally {
    signals.dispose();
    bar?.end();
  }
}
