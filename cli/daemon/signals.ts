/** The signals that end a server, or a command that would run for ever. */

/** A key press reaches the program twice, from the terminal and through npx or bunx, within this (ms). */
const SAME_SIGNAL_MS = 250;
/** With their numbers, which are the same on every Unix. */
const SIGNALS = { SIGTERM: 15, SIGINT: 2, SIGHUP: 1 } as const;
type Signal = keyof typeof SIGNALS;
const NAMES = Object.keys(SIGNALS) as Signal[];

/** A watch on the signals of this process. */
export interface SignalWatch {
  /** Resolves with the name of the first signal. */
  readonly first: Promise<string>;
  /** Ends the watch: signals have their usual effect again. */
  dispose(): void;
}

/**
 * Reports the first signal, for a graceful end; at the second the process calls `beforeExit` and exits at
 * once. `ignored` signals do nothing.
 */
export function watchSignals(
  ignored: readonly Signal[] = [],
  beforeExit: () => void = () => {},
): SignalWatch {
  const { promise: first, resolve } = Promise.withResolvers<string>();
  let firstAt = 0;
  const onSignal = (signal: Signal): void => {
    if (ignored.includes(signal)) return;
    if (firstAt === 0) {
      firstAt = performance.now();
      resolve(signal);
    } else if (performance.now() - firstAt > SAME_SIGNAL_MS) {
      beforeExit();
      process.exit(128 + SIGNALS[signal]);
    }
  };
  for (const signal of NAMES) process.on(signal, onSignal);
  return {
    first,
    dispose() {
      for (const signal of NAMES) process.off(signal, onSignal);
    },
  };
}
