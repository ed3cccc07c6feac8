/** What is run, in which order, with which sizes. The cells of a part run in alternation. */
import type { Runtime, Subject } from "./harness/subject.ts";
import type { Cell } from "./runner.ts";
import { awaitedOneByOne } from "./workloads/awaited.ts";
import { backlog } from "./workloads/backlog.ts";
import { both } from "./workloads/both.ts";
import { ECHO_FRAME_BYTES, echo } from "./workloads/echo.ts";
import { fanOut } from "./workloads/fan-out.ts";
import { fixedRate } from "./workloads/fixed-rate.ts";
import { ONE_TO_ONE, type Parameters, type Workload } from "./workloads/workload.ts";

const KIB = 1_024;
export const SIZES = [16, 128, KIB, 16 * KIB, 256 * KIB];
export const SUBSCRIBERS = [1, 10, 100, 1_000];
/** Messages a second; a subject that falls behind at one rate is not run at higher ones. */
export const RATES = [1_000, 10_000, 50_000, 100_000, 200_000, 500_000, 1_000_000, 2_000_000];
/** Connections on the side that has many. */
export const MANY = 8;

export interface Part {
  /** For `--only`. */
  readonly key: string;
  readonly title: string;
  readonly cells: readonly Cell[];
}

export interface PlanOptions {
  /** Control and tinyMQ first. */
  subjects: readonly Subject[];
  runtimes: readonly Runtime[];
  /** Parts that are run from Node too, by key; undefined: all. */
  nodeParts: ReadonlySet<string> | undefined;
  sizes: readonly number[];
  subscribers: readonly number[];
  rates: readonly number[];
}

/** All parts of a plan. */
export function makePlan(options: PlanOptions): Part[] {
  const parts: Part[] = [];
  const add = (
    key: string,
    title: string,
    workload: Workload,
    runtime: Runtime,
    more: Partial<Parameters>[],
  ) => {
    if (runtime === "node" && options.nodeParts?.has(key) === false) return;
    const cells = cellsOf(options.subjects, workload, runtime, more);
    // With the control alone there is nothing to compare.
    if (!cells.some(({ subject }) => subject.role !== "control")) return;
    const client = runtime === "node" ? ", Node" : "";
    parts.push({ key, title: `${title}${client}`, cells: withEcho(options.subjects, cells) });
  };
  for (const runtime of options.runtimes) {
    add("awaited", "awaited one by one, 128 B", awaitedOneByOne, runtime, [{}, { pinned: true }]);
    add("backlog", "produce pipelined, then consume, 128 B", backlog, runtime, [
      {},
      { consumeStyle: "poll" },
      { produceStyle: "groups" },
      { produceStyle: "many" },
    ]);
    for (const size of options.sizes) {
      add("both", `both at once, one to one, ${sizeName(size)}`, both, runtime, [{ size }]);
    }
    add("many-to-one", `${MANY} producers to one consumer, 128 B`, both, runtime, [{ producers: MANY }]);
    add("one-to-many", `one producer to ${MANY} shared consumers, 128 B`, both, runtime, [
      { consumers: MANY },
    ]);
    for (const consumers of options.subscribers) {
      add("fan-out", `fan-out to ${consumers}, 128 B`, fanOut, runtime, [{ consumers }]);
    }
    for (const rate of options.rates) {
      add("rate", `latency at ${rate.toLocaleString("en")}/s, 128 B`, fixedRate, runtime, [{ rate }]);
    }
  }
  return parts;
}

/**
 * Each set of parameters with each subject that can do it, in the style that suits the subject. Subjects with
 * the same parameters are neighbours, and so are run right after each other.
 */
function cellsOf(
  subjects: readonly Subject[],
  workload: Workload,
  runtime: Runtime,
  more: Partial<Parameters>[],
): Cell[] {
  const cells = new Map<string, Cell>();
  for (const one of more) {
    for (const subject of subjects) {
      const own = subject.abilities.produceStyles?.[0] ?? "send";
      const parameters = { ...ONE_TO_ONE, produceStyle: own, ...one };
      const key = `${subject.key} ${JSON.stringify(parameters)}`;
      const suits = subject.runtimes.includes(runtime) && workload.suits(subject, parameters);
      if (suits && !cells.has(key)) cells.set(key, { workload, parameters, subject, runtime });
    }
  }
  return [...cells.values()];
}

/** The control's echo runs in every part: shares are shares of what it moved in the same rounds. */
function withEcho(subjects: readonly Subject[], cells: readonly Cell[]): Cell[] {
  const controls = subjects.filter((subject) => subject.role === "control");
  const parameters = { ...ONE_TO_ONE, size: ECHO_FRAME_BYTES };
  const runtimes = new Set<Runtime>(["bun", ...cells.map(({ runtime }) => runtime)]);
  const echoes = controls.flatMap((subject) =>
    [...runtimes].map((runtime): Cell => ({ workload: echo, parameters, subject, runtime })),
  );
  return [...echoes, ...cells];
}

/** "16 KiB". */
export function sizeName(bytes: number): string {
  return bytes < KIB ? `${bytes} B` : `${bytes / KIB} KiB`;
}
