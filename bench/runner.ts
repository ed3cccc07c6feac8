/**
 * Runs cells in alternation: round one of all, round two of all, and so on, so that whatever else the
 * machine does affects all of them alike.
 */
import { Session } from "./harness/session.ts";
import { type Figure, figure } from "./harness/statistics.ts";
import type { RunningServer, Runtime, Subject } from "./harness/subject.ts";
import type { Progress } from "./progress.ts";
import type { Parameters, Sample, Workload } from "./workloads/workload.ts";

/** One row of a table: a workload, its parameters, and who does it. */
export interface Cell {
  readonly workload: Workload;
  readonly parameters: Parameters;
  readonly subject: Subject;
  readonly runtime: Runtime;
}

export interface CellResult {
  /** Title of the part, whose cells were run in the same rounds. */
  part: string;
  workload: string;
  parameters: Parameters;
  subject: string;
  runtime: Runtime;
  /** Messages of a run. */
  count: number;
  /** By name; times in µs, sizes in bytes. */
  figures: Record<string, Figure>;
  /** Why there are no figures. */
  error?: string;
}

export interface RunnerOptions {
  runs: number;
  /** How long the measured part of a run should be. */
  seconds: number;
  /** Messages and bytes of bodies of a run, at most. */
  mostMessages: number;
  mostBytes: number;
}

/** The second warm-up is this part of a run. */
const WARM_UP = 0.3;
/** A first warm-up has at most this many bytes of bodies. */
const FIRST_BYTES = 16 * 1024 ** 2;
const LEAST_MESSAGES = 20;

export class Runner {
  readonly #options: RunnerOptions;
  readonly #progress: Progress;
  readonly #servers = new Map<string, RunningServer>();
  readonly #sessions = new Map<string, Session>();

  constructor(options: RunnerOptions, progress: Progress) {
    this.#options = options;
    this.#progress = progress;
  }

  /** The servers that are running, by subject. */
  get servers(): ReadonlyMap<string, RunningServer> {
    return this.#servers;
  }

  /** Warms every cell up, then runs all of them in turn; the results are in the order of the cells. */
  async measure(title: string, cells: readonly Cell[]): Promise<CellResult[]> {
    const states = cells.map((cell) => ({ cell, count: 0, samples: [] as Sample[], error: "" }));
    for (let run = -1; run < this.#options.runs; run++) {
      // Every second round in the opposite order, so that none always runs after the same other.
      for (const state of run % 2 === 0 ? states : states.toReversed()) {
        if (state.error !== "") continue;
        this.#progress.step(`${title}: ${state.cell.subject.name}${run < 0 ? ", warm-up" : ""}`);
        try {
          if (run < 0) state.count = await this.#warmUp(state.cell);
          else state.samples.push(await this.#run(state.cell, state.count));
        } catch (error) {
          state.error = firstLine(error);
          this.#progress.note(`${title}: ${state.cell.subject.name} failed: ${state.error}`);
          await this.#forget(state.cell);
        }
      }
    }
    return states.map(({ cell, count, samples, error }) => ({
      part: title,
      workload: cell.workload.key,
      parameters: cell.parameters,
      subject: cell.subject.key,
      runtime: cell.runtime,
      count,
      figures: error === "" ? figuresOf(samples) : {},
      ...(error === "" ? {} : { error }),
    }));
  }

  /** Ends all clients and servers. */
  async close(): Promise<void> {
    await Promise.all([...this.#sessions.values()].map((session) => session.close()));
    await Promise.all([...this.#servers.values()].map((server) => server.stop()));
    this.#sessions.clear();
    this.#servers.clear();
  }

  /** Two short runs; the number of messages with which a run takes as long as it should. */
  async #warmUp(cell: Cell): Promise<number> {
    const { workload, parameters } = cell;
    const { seconds } = this.#options;
    if (workload.fixedCount !== undefined) {
      const count = this.#bounded(cell, workload.fixedCount(parameters, seconds));
      await this.#run(cell, this.#bounded(cell, count * WARM_UP));
      return count;
    }
    let count = this.#bounded(cell, Math.min(workload.firstCount, FIRST_BYTES / parameters.size));
    for (const wanted of [seconds * WARM_UP, seconds]) {
      const sample = await this.#run(cell, count);
      count = this.#bounded(cell, (count / workload.seconds(sample, count)) * wanted);
    }
    return count;
  }

  #bounded({ parameters }: Cell, count: number): number {
    const most = Math.min(this.#options.mostMessages, this.#options.mostBytes / parameters.size);
    return Math.round(Math.max(LEAST_MESSAGES, Math.min(most, count)));
  }

  async #run(cell: Cell, count: number): Promise<Sample> {
    const session = await this.#session(cell);
    return await cell.workload.run(session, cell.parameters, count);
  }

  async #session({ subject, runtime }: Cell): Promise<Session> {
    const key = `${subject.key}/${runtime}`;
    const found = this.#sessions.get(key);
    if (found !== undefined) return found;
    const server = this.#servers.get(subject.key) ?? (await subject.start());
    this.#servers.set(subject.key, server);
    const session = await Session.open(subject, runtime, server);
    this.#sessions.set(key, session);
    return session;
  }

  /** After a failure something may be left of the run: the next cell gets a new server. */
  async #forget({ subject }: Cell): Promise<void> {
    for (const [key, session] of this.#sessions) {
      if (session.subject !== subject) continue;
      this.#sessions.delete(key);
      await session.close();
    }
    await this.#servers.get(subject.key)?.stop();
    this.#servers.delete(subject.key);
  }
}

function figuresOf(samples: readonly Sample[]): Record<string, Figure> {
  const names = Object.keys(samples[0] ?? {});
  return Object.fromEntries(names.map((name) => [name, figure(samples.map((sample) => sample[name] ?? 0))]));
}

function firstLine(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).split("\n")[0]!;
}
