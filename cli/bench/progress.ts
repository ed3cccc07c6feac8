/** Shows how far a bench is, on the terminal that standard error must be. */
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
      // Signals are the command's.
      gracefulExit: false,
    };
    this.#bar = new SingleBar(options, Presets.shades_grey);
  }

  /** `done`: 0 to 1, of this part. */
  show(part: string, done: number): void {
    const payload = { part: part.padEnd("warming up".length) };
    if (!this.#started) this.#bar.start(1, 0, payload);
    this.#started = true;
    this.#bar.update(done, payload);
  }

  /** Takes it away. */
  end(): void {
    this.#bar.stop();
  }
}
