/** How a server process learns that it is to end. */

/** A key press reaches the program twice, from the terminal and through the launcher, within this (ms). */
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
 * The first signal is told, for a graceful end; with the second the process calls `beforeExit` and exits
 * at once. `ignored` signals are neither.
 */
export function watchSignals(ignored: readonly Signal[], beforeExit: () => void): SignalWatch {
  let tell: (signal: Signal) => void = () => {};
  let toldAt = 0;
  const first = new Promise<string>((resolve) => {
    tell = resolve;
  });
  const onSignal = (signal: Signal): void => {
    if (ignored.includes(signal)) return;
    if (toldAt === 0) {
      toldAt = performance.now();
      tell(signal);
    } else if (performance.now() - toldAt > SAME_SIGNAL_MS) {
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
