/** Shows how far something is, on the terminal that standard error must be. */
import { complain } from "./talk.ts";

const BAR_WIDTH = 30;
/** Back to the start of the line, and all that stood behind it removed. */
const CLEAR_LINE = "\r\x1b[K";

export class ProgressBar {
  #shown = false;

  /** `part` is the name of what is under way, `done` how much of it is done, 0 to 1. */
  show(part: string, done: number): void {
    const full = Math.round(done * BAR_WIDTH);
    const bar = "█".repeat(full) + "░".repeat(BAR_WIDTH - full);
    complain(`${CLEAR_LINE}${bar} ${Math.round(done * 100)} % ${part}`);
    this.#shown = true;
  }

  /** Takes it away. */
  end(): void {
    if (this.#shown) complain(CLEAR_LINE);
    this.#shown = false;
  }
}
