/** Shows the progress of a benchmark on standard error, which must be a terminal. */
import { Presets, SingleBar } from "cli-progress";

export class ProgressBar {
  readonly #bar: SingleBar;
  #started = false;

  constructor() {
    const options = {
      format: "{part} {bar} {percentage} %",
      stream: process.stderr,
      barsize: 30,
      clearOnComplete: true,
      // The command handles signals.
      gracefulExit: false,
    };
    this.#bar = new SingleBar(options, Presets.shades_grey);
  }

  /** `done`: the part of this part, 0 to 1. */
  show(part: string, done: number): void {
    const payload = { part: part.padEnd("warming up".length) };
    if (!this.#started) this.#bar.start(1, 0, payload);
    this.#started = true;
    this.#bar.update(done, payload);
  }

  /** Clears it. */
  end(): void {
    this.#bar.stop();
  }
}
