/**
 * One benchmark: sends one by one for a moment, warms up, measures, and checks that every message arrived
 * exactly once. Leaves no message behind in a topic of its own.
 */
import { TinyMQError } from "../../src/errors.ts";
import { Seen } from "./measuring/arrivals.ts";
import { Histogram, type HistogramData, type LatencySummary } from "./measuring/histogram.ts";
import type { Phase } from "./protocol.ts";
import type { BenchPlan, BenchResult, Faults } from "./result.ts";
import { explainLosses, messagesLeft, purge, watchMachine, watchProcess } from "./server.ts";
import { describeFaults } from "./verdict.ts";
import { type PhaseResult, Workers } from "./workers.ts";

export interface BenchOptions {
  /** Aborted: end soon, with what was measured until then. */
  signal: AbortSignal;
  /** Called again and again with the name of a part of the run, and how much of it is done, 0 to 1. */
  onProgress(part: string, done: number): void;
}

/** Of one benchmark: each takes one bit of memory. */
export const MOST_MESSAGES = 1_000_000_000;
/** How long the measured part takes if the number of messages is not given. */
const SECONDS = 5;
const LEAST_MESSAGES = 1_000;
/** One by one: at most so many messages, and not for longer than this. The first tenth is not recorded. */
const ONE_BY_ONE = 1_000;
const ONE_BY_ONE_MS = 2_000;
const UNRECORDED_PART = 0.1;
/** The warm-up: at most so many messages, and not for longer than this. */
const WARM_UP = 4_000_000;
const WARM_UP_MS = 1_000;
/**
 * Messages and bytes of bodies that are sent and not received, at most: enough for consumers that never wait.
 * More would only make messages wait longer, and fill a server whose consumers are slow.
 */
const AHEAD = 16_384;
const AHEAD_BYTES = 16 * 1024 * 1024;
/** And this part of the server's free memory. */
const AHEAD_OF_FREE = 0.25;
/** The part of these that is on its way to the server at once, of all producers. */
const WINDOW_PART = 0.25;
/** Bytes that the server needs for a message beside its body, about. */
const OVERHEAD = 64;

/**
 * Throws CANCELLED if it is interrupted before anything is measured, and what a producer or consumer throws.
 * Messages that are missing or arrived twice are no error: the result tells.
 */
export async function runBench(plan: BenchPlan, { signal, onProgress }: BenchOptions): Promise<BenchResult> {
  onProgress("connecting", 0);
  const workers = await Workers.open(plan);
  const stop = (): void => workers.counts.stop();
  signal.addEventListener("abort", stop);
  if (signal.aborted) stop();
  try {
    const result = await new Bench(plan, workers, { signal, onProgress }).run();
    await workers.close();
    result.faults.left = await messagesLeft(plan.target, plan.topic);
    return result;
  } finally {
    signal.removeEventListener("abort", stop);
    // After a failure, too: what a consumer still holds could not be dropped. The failure itself says more.
    await workers.close().catch(() => {});
    workers.terminate();
    if (plan.ownTopic) await dropLeftovers(plan);
  }
}

/** After a failure: nothing is left in the topic, if the server can still be reached. */
async function dropLeftovers({ target, topic }: BenchPlan): Promise<void> {
  try {
    if ((await messagesLeft(target, topic)) > 0) await purge(target, topic);
  } catch {
    // The benchmark has failed with an error that says more.
  }
}

/** The error of a benchmark whose messages did not arrive as they should. */
export async function faultyBench({ target, topic }: BenchPlan, faults: Faults): Promise<TinyMQError> {
  const losses = faults.missing > 0 ? await explainLosses(target, topic) : "";
  return new TinyMQError("DATA_LOSS", `${describeFaults(faults)}${losses}`);
}

class Bench {
  readonly #plan: BenchPlan;
  readonly #workers: Workers;
  readonly #options: BenchOptions;
  /** The id of the next message. */
  #next = 0;
  /** Of all phases. */
  readonly #faults: Faults = { missing: 0, duplicates: 0, damaged: 0, foreign: 0, outOfOrder: 0, left: 0 };

  constructor(plan: BenchPlan, workers: Workers, options: BenchOptions) {
    this.#plan = plan;
    this.#workers = workers;
    this.#options = options;
  }

  async run(): Promise<BenchResult> {
    const { count, rate, server } = this.#plan;
    const oneByOne = Math.min(count || ONE_BY_ONE, ONE_BY_ONE);
    const single = await this.#phase("one by one", {
      count: oneByOne,
      producers: 1,
      window: 1,
      rate: 0,
      forMs: ONE_BY_ONE_MS,
      unrecorded: Math.floor(oneByOne * UNRECORDED_PART),
    });
    const warm = await this.#phase("warming up", {
      count: Math.min(count || WARM_UP, rate > 0 ? Math.ceil(rate) : WARM_UP),
      forMs: WARM_UP_MS,
    });
    this.#throwIfInterrupted();
    // Not interrupted, and stopped all the same: messages were lost.
    if (this.#workers.counts.stopped) throw await faultyBench(this.#plan, this.#faults);
    const planned = count || this.#countFor(warm);
    const serverCpu = watchProcess(server.pid);
    const machineCpu = watchMachine();
    const phase = await this.#phase("measuring", { count: planned });
    const result = summarize(phase, {
      planned,
      roundTrip: latencyOf(single.sent),
      faults: this.#faults,
      serverCpu: serverCpu(),
      machineCpu: machineCpu(),
      interrupted: this.#options.signal.aborted,
    });
    if (result.stored === 0) this.#throwIfInterrupted();
    return result;
  }

  async #phase(part: string, changes: Partial<Phase> & { count: number }): Promise<PhaseResult> {
    const { producers, rate, size, target, topic, server } = this.#plan;
    this.#throwIfInterrupted();
    const bytesAhead = Math.min(AHEAD_BYTES, server.free * AHEAD_OF_FREE);
    const ahead = Math.max(producers, Math.min(AHEAD, Math.floor(bytesAhead / (size + OVERHEAD))));
    const phase: Phase = {
      first: this.#next,
      producers,
      window: Math.ceil((ahead * WINDOW_PART) / producers),
      ahead,
      rate,
      forMs: 0,
      unrecorded: 0,
      seen: new Seen(changes.count).buffer,
      ...changes,
    };
    this.#next += phase.count;
    const { counts } = this.#workers;
    const receivedBefore = counts.received;
    const isEmpty = async (): Promise<boolean> => (await messagesLeft(target, topic)) === 0;
    const result = await this.#workers.run(phase, isEmpty, () =>
      this.#options.onProgress(part, Math.min(1, (counts.received - receivedBefore) / phase.count)),
    );
    this.#addFaults(result);
    return result;
  }

  /** As many messages as take some seconds, at the speed of the warm-up. */
  #countFor(warm: PhaseResult): number {
    const { rate } = this.#plan;
    const { stored, sendingMs } = totals(warm);
    const perSecond = rate > 0 ? rate : (stored * 1_000) / Math.max(1, sendingMs);
    // Rounded to two digits.
    const count = Number((perSecond * SECONDS).toPrecision(2));
    return Math.ceil(Math.min(MOST_MESSAGES, Math.max(rate > 0 ? 1 : LEAST_MESSAGES, count)));
  }

  #addFaults({ sent, received }: PhaseResult): void {
    const faults = this.#faults;
    const stored = sent.reduce((sum, part) => sum + part.stored, 0);
    const retried = sent.some((part) => part.retried > 0);
    faults.missing += stored;
    for (const part of received) {
      faults.missing -= part.distinct;
      faults.duplicates += part.duplicates;
      faults.damaged += part.damaged;
      faults.foreign += part.foreign;
      // A message that is sent again arrives behind later ones, and between shared consumers there is no order.
      if (this.#plan.consumers === 1 && !retried) faults.outOfOrder += part.outOfOrder;
    }
  }

  #throwIfInterrupted(): void {
    if (!this.#options.signal.aborted) return;
    throw new TinyMQError("CANCELLED", "interrupted before anything was measured");
  }
}

function summarize(
  phase: PhaseResult,
  known: Pick<BenchResult, "planned" | "roundTrip" | "faults" | "interrupted"> &
    Record<"serverCpu" | "machineCpu", number | null>,
): BenchResult {
  const { serverCpu, machineCpu, ...rest } = known;
  return {
    ...rest,
    ...totals(phase),
    acknowledged: latencyOf(phase.sent),
    delivered: latencyOf(phase.received),
    retried: phase.sent.reduce((sum, { retried }) => sum + retried, 0),
    cpu: {
      producers: phase.sent.map(({ cpu }) => cpu),
      consumers: phase.received.map(({ cpu }) => cpu),
      server: serverCpu,
      machine: machineCpu,
    },
  };
}

function totals({ sent, received }: PhaseResult): Pick<BenchResult, "stored" | "sendingMs" | "receivingMs"> {
  const startedAt = Math.min(...sent.map((part) => part.startedAt));
  const until = (parts: { endedAt: number }[]): number =>
    Math.max(0, Math.max(...parts.map(({ endedAt }) => endedAt)) - startedAt) / 1_000;
  return {
    stored: sent.reduce((sum, part) => sum + part.stored, 0),
    sendingMs: until(sent),
    receivingMs: until(received),
  };
}

function latencyOf(parts: { latency: HistogramData }[]): LatencySummary | null {
  const all = new Histogram();
  for (const { latency } of parts) all.add(latency);
  return all.summary();
}
