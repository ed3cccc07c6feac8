/** What a bench says in the end: to programs, and to people. */
import { availableParallelism } from "node:os";
import { formatSize } from "../../src/server/index.ts";
import { serverUrl } from "../daemon/server-record.ts";
import { counted, formatCount } from "../io/count.ts";
import { grid, table } from "../io/table.ts";
import type { LatencySummary } from "./histogram.ts";
import type { BenchPlan, CpuUse, Measured } from "./measured.ts";
import { describeFaults, describeLimit, findLimit, holdsRate, isCrowded } from "./verdict.ts";

const BYTES_PER_MB = 1e6;
const PERCENTILES = ["p50", "p90", "p99", "p999", "max"] as const;

/**
 * One object. `…PerSecond`: of messages, or of millions of bytes of bodies. `…Us`: µs. `seconds`: from the first
 * send on. `cpu`: the part of one CPU that each thread of the bench and the server's process used, and the part
 * of all CPUs that this machine used. Null is what was not measured: times of delivery in bodies of less than 8
 * bytes, the CPU of a server that is not this user's own.
 */
export function asJson(plan: BenchPlan, measured: Measured): object {
  const { faults, cpu, interrupted, retried } = measured;
  const { left, ...arrivals } = faults;
  return {
    address: serverUrl(plan.target),
    version: plan.server.version,
    topic: plan.topic,
    size: plan.size,
    count: measured.planned,
    producers: plan.producers,
    consumers: plan.consumers,
    rate: plan.rate,
    messages: measured.stored,
    interrupted,
    sent: speed(plan.size, measured.stored, measured.sendingMs),
    received: speed(plan.size, measured.stored - faults.missing, measured.receivingMs),
    latencyFrom: plan.rate > 0 ? "due" : "send",
    oneByOneUs: rounded(measured.roundTrip),
    acknowledgedUs: rounded(measured.acknowledged),
    deliveredUs: rounded(measured.delivered),
    exactlyOnce: describeFaults(faults) === "",
    ...arrivals,
    left,
    retried,
    rateHeld: plan.rate > 0 ? holdsRate(plan, measured) : null,
    limit: findLimit(plan, measured),
    cpus: availableParallelism(),
    cpu: {
      producers: cpu.producers.map(hundredths),
      consumers: cpu.consumers.map(hundredths),
      server: hundredths(cpu.server),
      machine: hundredths(cpu.machine),
    },
  };
}

/** Some lines, ending in a newline. `paint` is for titles. */
export function asText(plan: BenchPlan, measured: Measured, paint: (title: string) => string): string {
  const throughput = [
    ["sent", ...speedCells(plan.size, measured.stored, measured.sendingMs)],
    ["received", ...speedCells(plan.size, measured.stored - measured.faults.missing, measured.receivingMs)],
  ];
  const latency = [
    ["one by one", ...latencyCells(measured.roundTrip)],
    ["acknowledged", ...latencyCells(measured.acknowledged)],
    ["delivered", ...latencyCells(measured.delivered)],
  ];
  return [
    headline(plan, measured),
    grid(["throughput", "messages/s", "MB/s"], throughput, paint),
    grid(["latency", "p50", "p90", "p99", "p99.9", "max"], latency, paint),
    table(notesOn(plan, measured)),
  ].join("\n");
}

/** What else there is to say, with a word for each. */
function notesOn(plan: BenchPlan, measured: Measured): [string, string][] {
  const { faults, retried, cpu, stored } = measured;
  const notes: [string, string][] = [];
  if (measured.interrupted) {
    notes.push(["note", `interrupted: ${formatCount(measured.planned)} messages were to be sent`]);
  }
  if (!holdsRate(plan, measured)) {
    const { perSecond } = speed(plan.size, stored, measured.sendingMs);
    notes.push(["rate", `not held: ${formatCount(perSecond)} of ${formatCount(plan.rate)} messages/s`]);
  }
  notes.push(
    ["check", describeFaults(faults) || arrivedWell(plan, retried)],
    ["limit", describeLimit(findLimit(plan, measured), cpu)],
    ["CPU", describeCpu(cpu)],
  );
  if (retried > 0) {
    notes.push(["full", `${counted(retried, "send")} found the server full, and had to be made again`]);
  }
  if (plan.rate === 0) {
    const hint = "as fast as it goes, messages wait in line: --rate shows the latency at a load of yours";
    notes.push(["hint", hint]);
  } else if (isCrowded(cpu)) {
    notes.push(["hint", "this machine had no CPU time left: the latencies contain the wait for a CPU"]);
  }
  return notes;
}

function headline({ target, server, size, producers, consumers, rate }: BenchPlan, { stored }: Measured) {
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
