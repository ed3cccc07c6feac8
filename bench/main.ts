/** `bun bench/main.ts`: measures tinyMQ, the control and the peers, and writes the results. */
import { resolve } from "node:path";
import { defineCommand, runMain } from "citty";
import { measureAll } from "./bench.ts";
import { profileInto } from "./harness/profile.ts";
import { endServers } from "./harness/server-process.ts";
import { comparison } from "./report/comparison.ts";
import { page, writeDocs } from "./report/docs.ts";
import { plotsOf } from "./report/plots.ts";
import { summary } from "./report/summary.ts";
import { type Results, readResults, writeResults } from "./results.ts";
import { parseSettings } from "./settings.ts";

const OPTIONS = ["quick", "smoke", "only", "peers", "against", "runs", "seconds", "out", "profile", "docs"];

const main = defineCommand({
  meta: { name: "bench", description: "measures tinyMQ, a bare echo, and its peers on this machine" },
  args: {
    quick: { type: "boolean", description: "tinyMQ and the control only, in under two minutes" },
    smoke: {
      type: "boolean",
      description: "a few messages of each workload, to see whether the bench works and all of them arrive",
    },
    only: {
      type: "string",
      description: "parts to run, comma-separated: awaited,backlog,both,rate,memory, ...",
    },
    peers: { type: "string", description: "peers to run, comma-separated; none for none" },
    against: {
      type: "string",
      description:
        "another build of tinyMQ (a checkout, its dist/ or an unpacked package): runs the workloads with both " +
        "in alternation, and prints the median ratio of the pairs",
    },
    runs: { type: "string", description: "runs of each figure (5; with --against 7)" },
    seconds: { type: "string", description: "how long the measured part of a run is (0.4)" },
    out: {
      type: "string",
      description: "file for the results (bench/results/MODE.json; with --against none)",
    },
    profile: {
      type: "string",
      description: "folder for CPU profiles of tinyMQ's processes; the figures then say nothing",
    },
    docs: {
      type: "string",
      description: "write docs/benchmarks.md and its plots from this file of results, and measure nothing",
    },
  },
  async run({ args, rawArgs }) {
    requireKnown(rawArgs);
    if (args.profile) profileInto(resolve(args.profile));
    if (args.docs) {
      writeDocs(readResults(args.docs));
      return;
    }
    const settings = parseSettings(args);
    const results = await measureAll(settings, `bun bench/main.ts ${process.argv.slice(2).join(" ")}`.trim());
    if (settings.out !== "") writeResults(settings.out, results);
    if (settings.docs) writeDocs(results);
    process.stdout.write(
      settings.against !== undefined
        ? comparison(results, settings.against.key)
        : settings.mode === "smoke"
          ? smokeReport(results)
          : summary(results),
    );
    process.exit(failures(results).length > 0 && settings.mode === "smoke" ? 1 : 0);
  },
});

// Servers that were started end with the bench.
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
  process.on(signal, () => void endServers().finally(() => process.exit(1)));
}
await runMain(main);

/** Ends the program for an unknown option, which citty would accept. */
function requireKnown(rawArgs: readonly string[]): void {
  for (const arg of rawArgs) {
    const name = /^--?([^=]+)/.exec(arg)?.[1];
    if (name === undefined || OPTIONS.includes(name)) continue;
    process.stderr.write(`there is no option ${arg}: bun bench/main.ts --help\n`);
    process.exit(2);
  }
}

function failures({ cells }: Results): string[] {
  return cells.flatMap(({ workload, runtime, parameters, error }) =>
    error === undefined ? [] : [`${workload}, ${runtime}, ${JSON.stringify(parameters)}: ${error}`],
  );
}

/** Makes the page, too, to see that it can be made, and drops it. */
function smokeReport(results: Results): string {
  page(results, plotsOf(results));
  const failed = failures(results);
  const lines = failed.map((failure) => `failed: ${failure}`);
  lines.push(
    `${results.cells.length - failed.length} workloads delivered every message, ${failed.length} did not`,
  );
  return `${lines.join("\n")}\n`;
}
