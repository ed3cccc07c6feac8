/** What is to be thought of a measurement: whether all came as it should, and what kept it from being faster. */
import { formatCount } from "../io/count.ts";
import type { BenchPlan, CpuUse, Faults, Measured } from "./measured.ts";

/** What a run could not go beyond; "none" if the clients and the server all had time left, or nobody knows. */
export type Limit = "rate" | "machine" | "server" | "producers" | "consumers" | "none";

/** From this part of a CPU on, something has no time left. */
const BUSY = 0.9;
/** From this part of its CPUs on, a machine has none: the rest is what it loses by handing them around. */
const MACHINE_BUSY = 0.85;
/** A rate was held if the last message was stored not later than this after it was due. */
const LATE_PART = 0.05;
const LATE_MS = 50;

/** What is wrong, as people say it; "" if every message arrived exactly once, as it was sent. */
export function describeFaults(faults: Faults): string {
  const kinds: [number, string][] = [
    [faults.missing, "never arrived"],
    [faults.duplicates, "arrived more than once"],
    [faults.damaged, "arrived with another body"],
    [faults.foreign, "came from somebody else"],
    [faults.outOfOrder, "arrived behind a later one"],
    [faults.left, "were left in the topic"],
  ];
  const found = kinds.filter(([count]) => count > 0);
  if (found.length === 0) return "";
  return `of the messages of this bench, ${found.map(([count, what]) => `${formatCount(count)} ${what}`).join(", ")}`;
}

/** Whether the messages were sent at the rate that was asked for; true if none was. */
export function holdsRate({ rate }: Pick<BenchPlan, "rate">, { stored, sendingMs }: Measured): boolean {
  const dueMs = (stored * 1_000) / rate;
  return rate === 0 || sendingMs <= dueMs * (1 + LATE_PART) + LATE_MS;
}

/** What the run could not go beyond. */
export function findLimit(plan: Pick<BenchPlan, "rate">, measured: Measured): Limit {
  if (plan.rate > 0 && holdsRate(plan, measured)) return "rate";
  const { producers, consumers, server, machine } = measured.cpu;
  if ((server ?? 0) >= BUSY) return "server";
  if (busiest(consumers) >= BUSY) return "consumers";
  if (busiest(producers) >= BUSY) return "producers";
  return isCrowded({ machine }) ? "machine" : "none";
}

/** Whether this machine had no CPU time left, so that latencies contain the wait for a CPU. */
export function isCrowded({ machine }: Pick<CpuUse, "machine">): boolean {
  return (machine ?? 0) >= MACHINE_BUSY;
}

/** The limit in a sentence. */
export function describeLimit(limit: Limit, { producers, consumers, server }: CpuUse): string {
  switch (limit) {
    case "rate":
      return "the rate that was asked for, which was held";
    case "server":
      return "the server, whose process had no CPU time left";
    case "producers":
      return "the bench: its producers had no CPU time left, and the server can do more; try more --producers";
    case "consumers":
      return "the bench: its consumers had no CPU time left, and the server can do more; try more --consumers";
    case "machine":
      return "this machine: its CPUs had no time left; a server that does not share them with the bench, or with others, can do more";
    case "none":
      if ([...producers, ...consumers].includes(null)) return "not known: this Bun does not tell";
      return server === null
        ? "not the bench, whose clients had CPU time left: the server, or the way to it"
        : "neither the server nor the bench, which had CPU time left: they waited for each other";
  }
}

/** The largest of those that are known; 0 if none is. */
function busiest(parts: readonly (number | null)[]): number {
  return Math.max(0, ...parts.map((part) => part ?? 0));
}
