/** What a benchmark asks its server for, and how it watches CPUs. */
import { cpus } from "node:os";
import { TinyMQError } from "../../src/errors.ts";
import { ask, findTopic } from "../admin.ts";
import { processFields } from "../daemon/process-identity.ts";
import { formatCount } from "../io/count.ts";
import { runningServer, type Target } from "../target.ts";

/** Counters of messages that no consumer gets, and what the server did with those messages. */
const LOSSES = [
  ["dropped", "dropped", " to make room"],
  ["expired", "let", " expire"],
  ["deadLettered", "moved", " to the dead letters"],
] as const;

/** The server before the benchmark. */
export interface ServerFacts {
  version: string;
  /** Bytes that messages may still take. */
  free: number;
  /** Its process, where it is certain to run on this machine; else null. */
  pid: number | null;
}

/** Source: proc(5); one tick of utime and stime is 1/100 s on every Linux that people use. */
const MS_PER_TICK = 10;
/** What a topic in use has, and what that is called. */
const USES = [
  ["ready", "messages"],
  ["unacked", "unacknowledged messages"],
  ["delayed", "delayed messages"],
  ["producers", "producers"],
  ["consumers", "consumers"],
  ["standbys", "standbys"],
  ["subscribers", "subscribers"],
] as const;

/** Throws what the server answers, and UNAVAILABLE if nothing does. */
export async function askServer(target: Target): Promise<ServerFacts> {
  const status = await ask(target, (admin, options) => admin.getStatus({}, options));
  return {
    version: status.version,
    free: Math.max(0, status.memoryLimit - status.memoryUsed),
    pid: runningServer()?.pid === status.pid ? status.pid : null,
  };
}

/** Throws FAILED_PRECONDITION if the topic is in use or holds messages, which would be consumed. */
export async function requireUnused(target: Target, topic: string): Promise<void> {
  const info = await findTopic(target, topic);
  const uses = USES.map(([key, name]) => ({ name, count: info?.[key] ?? 0 })).filter(
    ({ count }) => count > 0,
  );
  if (uses.length === 0) return;
  const found = uses
    .map(({ name, count }) => `${count} ${count === 1 ? name.slice(0, -1) : name}`)
    .join(", ");
  throw new TinyMQError(
    "FAILED_PRECONDITION",
    `the topic ${topic} is in use (${found}); a bench consumes all messages in its topic: name one that is empty and not in use`,
  );
}

/** Messages that the topic holds. */
export async function messagesLeft(target: Target, topic: string): Promise<number> {
  const info = await findTopic(target, topic);
  return info === null ? 0 : info.ready + info.unacked + info.delayed;
}

/** What the server says of messages that were not delivered: "; the server let 4 expire", or "". */
export async function explainLosses(target: Target, topic: string): Promise<string> {
  const counters = (await findTopic(target, topic))?.counters;
  const parts = LOSSES.map(([key, verb, rest]) => ({ verb, rest, count: counters?.[key] ?? 0 }))
    .filter(({ count }) => count > 0)
    .map(({ verb, rest, count }) => `${verb} ${formatCount(count)}${rest}`);
  return parts.length === 0 ? "" : `; the server ${parts.join(", ")}`;
}

/** Drops what the topic holds. */
export async function purge(target: Target, topic: string): Promise<void> {
  await ask(target, (admin, options) => admin.purgeTopic({ topic }, options));
}

/**
 * The part of one CPU's time that a process of this machine uses from now to the call of what is returned;
 * null where that is not known.
 */
export function watchProcess(pid: number | null): () => number | null {
  const usedBefore = processTime(pid);
  const before = performance.now();
  return () => {
    const used = processTime(pid);
    if (used === null || usedBefore === null) return null;
    return (used - usedBefore) / Math.max(1, performance.now() - before);
  };
}

/** The part of this machine's CPU time that all processes use from now to the call of what is returned. */
export function watchMachine(): () => number | null {
  const before = machineTimes();
  return () => {
    const after = machineTimes();
    const all = after.all - before.all;
    return all > 0 ? 1 - (after.idle - before.idle) / all : null;
  };
}

/** ms of CPU time since the process was started. */
function processTime(pid: number | null): number | null {
  if (pid === null || process.platform !== "linux") return null;
  const field = processFields(pid);
  // Null if the process has ended: its clients notice that.
  return field === null ? null : (Number(field(14)) + Number(field(15))) * MS_PER_TICK;
}

/** ms, of all CPUs, since this machine was started. */
function machineTimes(): { all: number; idle: number } {
  let [all, idle] = [0, 0];
  for (const { times } of cpus()) {
    all += times.user + times.nice + times.sys + times.idle + times.irq;
    idle += times.idle;
  }
  return { all, idle };
}
