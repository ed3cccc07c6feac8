/** Shows how far the bench is: one line that changes on a terminal, a line for each part elsewhere. */

const CLEAR_LINE = "\r\x1b[2K";
const MS_PER_SECOND = 1_000;

export class Progress {
  readonly #began = performance.now();
  readonly #terminal = process.stderr.isTTY;
  #part = "";
  #done = 0;
  #parts = 0;

  /** How many parts there are. */
  expect(parts: number): void {
    this.#parts = parts;
  }

  /** The next part begins. */
  part(title: string): void {
    this.#part = title;
    this.#done += 1;
    if (!this.#terminal) process.stderr.write(`${this.#head()} ${title}\n`);
    else this.step(title);
  }

  /** What is done now. */
  step(what: string): void {
    if (!this.#terminal) return;
    const width = process.stderr.columns ?? 80;
    process.stderr.write(`${CLEAR_LINE}${`${this.#head()} ${what || this.#part}`.slice(0, width - 1)}`);
  }

  /** Something that stays on the screen. */
  note(text: string): void {
    process.stderr.write(`${this.#terminal ? CLEAR_LINE : ""}${text}\n`);
  }

  end(): void {
    if (this.#terminal) process.stderr.write(CLEAR_LINE);
  }

  /** Seconds since the bench began. */
  get seconds(): number {
    return (performance.now() - this.#began) / MS_PER_SECOND;
  }

  #head(): string {
    const seconds = Math.floor(this.seconds);
    const clock = `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
    return `[${this.#done}/${Math.max(this.#done, this.#parts)} ${clock}]`;
  }
}
