/**
 * Abort signals: makes those of calls, and listens to signals with one listener each, however many connections share
 * it: Node warns at the eleventh.
 */
import type { RpcOptions } from "@protobuf-ts/runtime-rpc";
import { LONGEST_TIMER } from "../wire/clock.ts";

const listeners = new WeakMap<AbortSignal, Set<() => void>>();

/** Calls `run` when `signal` is aborted; the returned function cancels that. */
export function onAbort(signal: AbortSignal, run: () => void): () => void {
  const runs = listeners.get(signal) ?? listen(signal);
  runs.add(run);
  return () => runs.delete(run);
}

function listen(signal: AbortSignal): Set<() => void> {
  const runs = new Set<() => void>();
  listeners.set(signal, runs);
  signal.addEventListener(
    "abort",
    () => {
      for (const run of [...runs]) run();
    },
    { once: true },
  );
  return runs;
}

/** The signal that aborts a call: its `abort`, its `timeout` (ms or a date), either, or none. */
export function callSignal({
  abort,
  timeout,
}: Pick<RpcOptions, "abort" | "timeout">): AbortSignal | undefined {
  if (timeout === undefined) return abort;
  const limitMs = typeof timeout === "number" ? timeout : Math.max(0, timeout.getTime() - Date.now());
  const limit = AbortSignal.timeout(Math.min(limitMs, LONGEST_TIMER));
  return abort === undefined ? limit : AbortSignal.any([abort, limit]);
}
