/** Writes docs/benchmarks.md and its plots from results. */
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Results } from "../results.ts";
import { bytes, compact, micros, milliseconds, table, times } from "./format.ts";
import { method } from "./method.ts";
import { wonByPeers } from "./peers.ts";
import { plotsOf } from "./plots.ts";
import * as tables from "./tables.ts";

const docs = (): string => join(import.meta.dir, "..", "..", "docs");

export function writeDocs(results: Results): void {
  const folder = join(docs(), "benchmarks");
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  const plots = plotsOf(results);
  for (const [name, svg] of plots) writeFileSync(join(folder, `${name}.svg`), svg);
  writeFileSync(join(docs(), "benchmarks.md"), page(results, plots));
}

type Plots = ReadonlyMap<string, string>;

/** The page as Markdown. `plots`: by file name, those that there are. */
export function page(results: Results, plots: Plots): string {
  const sections = [
    ...targetSections(results),
    ...throughputSections(results, plots),
    ...latencySections(results, plots),
    ...messageCostSections(results, plots),
    ...memorySections(results, plots),
    ...flatnessSections(results),
    ...startSections(results),
    "## Did everything arrive?",
    tables.arrivalsNote(results),
    ...method(results),
  ];
  return `${sections.filter((section) => section !== "").join("\n\n")}\n`;
}

/** An image, or "" where there is no such plot. */
function image(plots: Plots, name: string, what: string): string {
  return plots.has(name) ? `![${what}](benchmarks/${name}.svg)` : "";
}

function targetSections(results: Results): string[] {
  const won = wonByPeers(results);
  return [
    "# Benchmarks",
    "This page is written by `make bench`, from the figures of one run; do not edit it. Every figure is the " +
      `median of ${results.runs} runs that alternated with all others of their table, with its range behind it.`,
    "## What it was measured on",
    machineTable(results),
    "## Targets",
    "A share is body bytes a second as a share of the bytes a second that the control, a bare `Bun.serve` WebSocket " +
      "echo without any tinyMQ code, gave back to a Bun client in the same rounds: 64-KiB frames, 32 of them in flight " +
      `(${echoRate(results)} here).`,
    tables.targetTable(results),
    "## Where a peer wins",
    won.length === 0 ? "Nowhere, in what was measured in this run." : won.join("\n"),
  ];
}

function throughputSections(results: Results, plots: Plots): string[] {
  return [
    "## Both at once, one to one",
    image(plots, "both", "Both at once, 128 B"),
    tables.bothTable(results),
    image(plots, "both-16k", "Both at once, 16 KiB"),
    "## Produce pipelined; consume with acknowledgement",
    image(plots, "produce", "Produce"),
    image(plots, "consume", "Consume"),
    tables.backlogTable(results),
    "## Awaited one by one",
    image(plots, "awaited", "Awaited, p50"),
    tables.awaitedTable(results),
    "## Many to one, one to many",
    tables.manyTable(results),
    "## Fan-out",
    image(plots, "fan-out", "Fan-out to 100"),
    tables.fanOutTable(results),
  ];
}

function latencySections(results: Results, plots: Plots): string[] {
  return [
    "## Latency at fixed rates",
    "An open loop: each message is timed from the moment at which it was meant to be sent, whatever became of those " +
      "before it, so that no wait is left out. Time to the acknowledgement at the producer:",
    image(plots, "latency-acknowledged", "Time to acknowledgement, p99"),
    tables.rateTable(results, "ack"),
    "Time to the consumer:",
    image(plots, "latency-delivered", "Time to delivery, p99"),
    tables.rateTable(results, "delivery"),
  ];
}

function messageCostSections(results: Results, plots: Plots): string[] {
  return [
    "## What a message costs",
    image(plots, "cpu", "CPU time of the server"),
    tables.cpuTable(results),
    tables.cpuByPartTable(results),
    image(plots, "wire", "Bytes on the wire"),
    tables.costTable(results, [
      ["bytes on the wire per message of 128 B, in and out", "wire-per-message", bytes],
    ]),
  ];
}

function memorySections(results: Results, plots: Plots): string[] {
  return [
    "## Memory",
    image(plots, "memory", "Memory per queued message"),
    tables.costTable(results, [
      ["after one message and 3 s of rest", "memory-idle", bytes],
      ["per message of 128 B, 100,000 queued", "memory-per-message", bytes, 100_000],
      ["1 s after all were consumed", "memory-after-drain", bytes, 1_000],
    ]),
    "tinyMQ, with more:",
    tables.levelTable(results, "queued messages of 128 B", [["memory each", "memory-per-message", bytes]]),
    tables.levelTable(results, "topics", [["memory each", "memory-per-topic", bytes]]),
    tables.levelTable(results, "connections", [["memory each", "memory-per-connection", bytes]]),
    tables.costTable(results, [
      ["each further message", "memory-per-further-message", bytes],
      ["each further topic", "memory-per-further-topic", bytes],
      ["each further connection", "memory-per-further-connection", bytes],
      ["10 s after 10 million were consumed", "memory-after-drain", bytes, 10_000],
    ]),
  ];
}

function flatnessSections(results: Results): string[] {
  return [
    "## Does it stay flat?",
    "CPU time of the server for each message that goes in and out, and the least of these runs beside the least of a " +
      "server at the lowest level, measured in turn with it:",
    tables.levelTable(results, "queued before it", [
      ["CPU time", "flat-queued-cpu", micros],
      ["beside 1,000", "flat-queued-ratio", times],
    ]),
    tables.levelTable(results, "idle topics beside it", [
      ["CPU time", "flat-topics-cpu", micros],
      ["beside one", "flat-topics-ratio", times],
    ]),
  ];
}

function startSections(results: Results): string[] {
  return [
    "## Start and installation",
    tables.costTable(results, [["start to first acknowledged message", "start-to-first-ack", milliseconds]]),
    tables.costTable(results, [
      ["empty folder to first message consumed", "folder-to-first-message", milliseconds],
      ["installed size", "installed-size", bytes],
    ]),
  ];
}

function machineTable({ machine, began, seconds, command }: Results): string {
  return table(
    ["", ""],
    [
      ["processor", `${machine.cpu}, ${machine.cores} cores`],
      ["memory", bytes(machine.memoryBytes)],
      ["system", `${machine.os}, Linux ${machine.kernel}`],
      ["Bun, Node", `${machine.bun}, ${machine.node}`],
      ["load before it began", machine.load.toFixed(2)],
      ["when, how long", `${began.slice(0, 10)}, ${Math.round(seconds / 60)} minutes`],
      ["command", `\`${command}\``],
    ],
    "---",
  );
}

function echoRate({ cells }: Results): string {
  const echo = cells.find(
    ({ workload, runtime, part }) => workload === "echo" && runtime === "bun" && /128 B$/.test(part),
  );
  return echo?.figures.bytesPerSecond ? `${compact(echo.figures.bytesPerSecond.median)}B/s` : "not measured";
}
