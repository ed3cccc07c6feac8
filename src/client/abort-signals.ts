/**
 * Listens to abort signals, with one listener per signal however many connections share it: Node warns at the
 * eleventh.
 */
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
