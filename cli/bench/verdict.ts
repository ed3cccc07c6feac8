/** What follows from a result: whether every message arrived as it should, and what limited the speed. */
import { formatCount } from "../io/count.ts";
import type { BenchPlan, BenchResult, CpuUse, Faults } from "./result.ts";

/** What limited the speed; "none" if clients and server all had CPU time left, or it is not known. */
export type Limit = "rate" | "machine" | "server" | "producers" | "consumers" | "none";

/** From this part of a CPU on, a thread or process has no time left. */
const BUSY = 0.9;
/** From this part of its CPUs on, a machine has none left: the rest is lost in switching between processes. */
const MACHINE_BUSY = 0.85;
/** A rate was held if the last message was stored at most this part of the time, and this many ms, late. */
const LATE_PART = 0.05;
const LATE_MS = 50;

/** What is wrong, as a sentence; "" if every message arrived exactly once, as it was sent. */
export function describeFaults(faults: Faults): string {
  const kinds: [number, string][] = [
    [faults.missing, "never arrived"],
    [faults.duplicates, "arrived more than once"],
    [faults.damaged, "arrived with a different body"],
    [faults.foreign, "from another producer"],
    [faults.outOfOrder, "arrived after a later one"],
    [faults.left, "left in the topic"],
  ];
  const found = kinds.filter(([count]) => count > 0);
  if (found.length === 0) return "";
  const list = found.map(([count, what]) => `${formatCount(count)} ${what}`).join(", ");
  return `not every message arrived exactly once, as it was sent: ${list}`;
}

/** Whether the messages were sent at the rate that was asked for; true without a rate. */
export function holdsRate({ rate }: Pick<BenchPlan, "rate">, { stored, sendingMs }: BenchResult): boolean {
  const dueMs = (stored * 1_000) / rate;
  return rate === 0 || sendingMs <= dueMs * (1 + LATE_PART) + LATE_MS;
}

/** What limited the speed of this benchmark. */
export function findLimit(plan: Pick<BenchPlan, "rate">, result: BenchResult): Limit {
  if (plan.rate > 0 && holdsRate(plan, result)) return "rate";
  const { producers, consumers, server, machine } = result.cpu;
  if ((server ?? 0) >= BUSY) return "server";
  if (busiest(consumers) >= BUSY) return "consumers";
  if (busiest(producers) >= BUSY) return "producers";
  return isCrowded({ machine }) ? "machine" : "none";
}

/** Whether this machine had no CPU time left, so that latencies include waits for a CPU. */
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
      if ([...producers, ...consumers].includes(null))
        return "not known: this version of Bun does not report CPU times";
      return server === null
        ? "not the bench, whose clients had CPU time left: the server, or the way to it"
        : "neither the server nor the bench: both had CPU time left, and waited for each other";
  }
}

/** The largest of those that are known; 0 if none is. */
function busiest(parts: readonly (number | null)[]): number {
  return Math.max(0, ...parts.map((part) => part ?? 0));
}
