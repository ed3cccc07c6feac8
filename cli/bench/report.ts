/** What `bench` prints at the end: for programs, and for people. */
import { availableParallelism } from "node:os";
import { formatSize } from "../../src/server/index.ts";
import { serverUrl } from "../daemon/server-record.ts";
import { counted, formatCount } from "../io/count.ts";
import { grid, table } from "../io/table.ts";
import type { LatencySummary } from "./measuring/histogram.ts";
import type { BenchPlan, BenchResult, CpuUse } from "./result.ts";
import { describeFaults, describeLimit, findLimit, holdsRate, isCrowded } from "./verdict.ts";

const BYTES_PER_MB = 1e6;
const PERCENTILES = ["p50", "p90", "p99", "p999", "max"] as const;

/**
 * One object. `perSecond`: messages; `megabytesPerSecond`: of bodies; `…Us`: µs; `seconds`: from the first send
 * on. `cpu`: the part of one CPU that each worker and the server's process used, and the part of all CPUs that
 * this machine used. Null is what was not measured: times of delivery with bodies of less than 8 bytes, the CPU
 * of a server that is not this user's own.
 */
export function asJson(plan: BenchPlan, result: BenchResult): object {
  const { faults, cpu, interrupted, retried } = result;
  const { left, ...arrivals } = faults;
  return {
    address: serverUrl(plan.target),
    version: plan.server.version,
    topic: plan.topic,
    size: plan.size,
    count: result.planned,
    producers: plan.producers,
    consumers: plan.consumers,
    rate: plan.rate,
    messages: result.stored,
    interrupted,
    sent: speed(plan.size, result.stored, result.sendingMs),
    received: speed(plan.size, result.stored - faults.missing, result.receivingMs),
    latencyFrom: plan.rate > 0 ? "due" : "send",
    oneByOneUs: rounded(result.roundTrip),
    acknowledgedUs: rounded(result.acknowledged),
    deliveredUs: rounded(result.delivered),
    exactlyOnce: describeFaults(faults) === "",
    ...arrivals,
    left,
    retried,
    rateHeld: plan.rate > 0 ? holdsRate(plan, result) : null,
    limit: findLimit(plan, result),
    cpus: availableParallelism(),
    cpu: {
      producers: cpu.producers.map(hundredths),
      consumers: cpu.consumers.map(hundredths),
      server: hundredths(cpu.server),
      machine: hundredths(cpu.machine),
    },
  };
}

/** Some lines, each ending in a newline. `paint` makes titles bold. */
export function asText(plan: BenchPlan, result: BenchResult, paint: (title: string) => string): string {
  const throughput = [
    ["sent", ...speedCells(plan.size, result.stored, result.sendingMs)],
    ["received", ...speedCells(plan.size, result.stored - result.faults.missing, result.receivingMs)],
  ];
  const latency = [
    ["one by one", ...latencyCells(result.roundTrip)],
    ["acknowledged", ...latencyCells(result.acknowledged)],
    ["delivered", ...latencyCells(result.delivered)],
  ];
  return [
    headline(plan, result),
    grid(["throughput", "messages/s", "MB/s"], throughput, paint),
    grid(["latency", "p50", "p90", "p99", "p99.9", "max"], latency, paint),
    table(notesOn(plan, result)),
  ].join("\n");
}

/** The lines below the tables, each with its first word. */
function notesOn(plan: BenchPlan, result: BenchResult): [string, string][] {
  const { faults, retried, cpu, stored } = result;
  const notes: [string, string][] = [];
  if (result.interrupted) {
    notes.push(["note", `interrupted: ${formatCount(result.planned)} messages were to be sent`]);
  }
  if (!holdsRate(plan, result)) {
    const { perSecond } = speed(plan.size, stored, result.sendingMs);
    notes.push(["rate", `not held: ${formatCount(perSecond)} of ${formatCount(plan.rate)} messages/s`]);
  }
  notes.push(
    ["check", describeFaults(faults) || arrivedWell(plan, retried)],
    ["limit", describeLimit(findLimit(plan, result), cpu)],
    ["CPU", describeCpu(cpu)],
  );
  if (retried > 0) {
    notes.push(["full", `${counted(retried, "send")} found the server full and were made again`]);
  }
  if (plan.rate === 0) {
    const hint = "at full speed messages wait in line: --rate shows the latencies at your own load";
    notes.push(["hint", hint]);
  } else if (isCrowded(cpu)) {
    notes.push(["hint", "this machine had no CPU time left: the latencies include waits for a CPU"]);
  }
  return notes;
}

function headline({ target, server, size, producers, consumers, rate }: BenchPlan, { stored }: BenchResult) {
  const load = rate > 0 ? `${formatCount(rate)} a second` : "as fast as it goes";
  const clients = `${counted(producers, "producer")}, ${counted(consumers, "consumer")}`;
  const where = `${serverUrl(target)} (tinyMQ ${server.version})`;
  return `${counted(stored, "message")} of ${formatSize(size)}, ${clients}, ${load}\n${where}\n`;
}

function arrivedWell({ consumers }: BenchPlan, retried: number): string {
  return `every message arrived exactly once${consumers === 1 && retried === 0 ? ", and in order" : ""}`;
}

function describeCpu({ producers, consumers, server, machine }: CpuUse): string {
  const parts = (values: readonly (number | null)[]): string => values.map(percent).join(" + ");
  const ofOne = `producers ${parts(producers)}, consumers ${parts(consumers)}, server ${percent(server)} of one CPU`;
  return `${ofOne}; this machine ${percent(machine)} of ${availableParallelism()}`;
}

function percent(part: number | null): string {
  return part === null ? "?" : `${Math.round(part * 100)} %`;
}

function speedCells(size: number, messages: number, ms: number): string[] {
  const { perSecond, megabytesPerSecond } = speed(size, messages, ms);
  return [formatCount(perSecond), String(megabytesPerSecond)];
}

function latencyCells(summary: LatencySummary | null): string[] {
  return PERCENTILES.map((key) => (summary === null ? "-" : formatMicros(summary[key])));
}

/** µs with three digits: "8.25 µs", "62.1 µs", "4.13 ms", "1.2 s". */
export function formatMicros(micros: number): string {
  const [unit, size] = micros < 999.5 ? ["µs", 1] : micros < 999_500 ? ["ms", 1e3] : ["s", 1e6];
  const value = micros / (size as number);
  return `${Number(value.toPrecision(3))} ${unit}`;
}

function speed(size: number, messages: number, ms: number) {
  const perSecond = ms > 0 ? (messages * 1_000) / ms : 0;
  return {
    seconds: Number((ms / 1_000).toFixed(6)),
    perSecond: Math.round(perSecond),
    megabytesPerSecond: Number(((perSecond * size) / BYTES_PER_MB).toPrecision(3)),
  };
}

function rounded(summary: LatencySummary | null): LatencySummary | null {
  if (summary === null) return null;
  return Object.fromEntries(PERCENTILES.map((key) => [key, Number(summary[key].toFixed(1))])) as never;
}

function hundredths(part: number | null): number | null {
  return part === null ? null : Number(part.toFixed(2));
}
