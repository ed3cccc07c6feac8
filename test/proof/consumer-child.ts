/** Starts consumers in processes of their own, and reads what they wrote. */
import { existsSync, readFileSync } from "node:fs";
import { resolve } from "node:path";
import type { ConsumerJob } from "./consumer-process.ts";
import { until } from "./until.ts";

const PROGRAM = resolve(import.meta.dir, "consumer-process.ts");
const alive = new Set<ConsumerChild>();

/** Ends what is left. For `afterAll` of every file that starts some: a hook here would be of the first file only. */
export async function endConsumers(): Promise<void> {
  for (const child of alive) await child.kill();
}

export class ConsumerChild {
  readonly job: ConsumerJob;
  readonly #process: Bun.Subprocess;

  constructor(job: ConsumerJob) {
    this.job = job;
    this.#process = Bun.spawn([process.execPath, PROGRAM, JSON.stringify(job)], {
      stdio: ["ignore", "inherit", "inherit"],
    });
    alive.add(this);
  }

  get pid(): number {
    return this.#process.pid;
  }

  /** Every line that it wrote. */
  lines(): string[] {
    if (!existsSync(this.job.file)) return [];
    const text = readFileSync(this.job.file, "utf8");
    // A line is whole only if it ends; a kill may come in the middle of none, writes being small.
    return text.split("\n").slice(0, -1);
  }

  /** The ids of lines that begin with `word`, in order. */
  ids(word: "seen" | "told"): number[] {
    return this.notes(word).map(({ id }) => id);
  }

  /** What lines that begin with `word` say, in order; times in ms since 1970. */
  notes(word: "seen" | "told"): { id: number; time: number }[] {
    return this.lines()
      .map((line) => line.split(" "))
      .filter(([first]) => first === word)
      .map(([, id, time]) => ({ id: Number(id), time: Number(time) }));
  }

  /** Resolves when it wrote that line. */
  async wrote(line: string, deadlineMs = 20_000): Promise<void> {
    await until(`"${line}" of a consumer`, () => this.lines().includes(line), deadlineMs);
  }

  signal(name: "SIGSTOP" | "SIGCONT"): void {
    process.kill(this.pid, name);
  }

  /** SIGKILL, and its end. */
  async kill(): Promise<void> {
    if (this.#process.exitCode === null) this.#process.kill("SIGKILL");
    await this.#process.exited;
    alive.delete(this);
  }
}
