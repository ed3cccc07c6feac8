/**
 * One bench: sends one by one for a moment, warms up, measures, and checks that every message came exactly
 * once. Leaves nothing in the topic.
 */
import { TinyMQError } from "../../src/errors.ts";
import { Seen } from "./board.ts";
import { Crew, type PhaseResult } from "./crew.ts";
import { Histogram, type HistogramData, type LatencySummary } from "./histogram.ts";
import type { BenchPlan, Faults, Measured } from "./measured.ts";
import type { Phase } from "./protocol.ts";
import { explainLosses, messagesLeft, purge, watchMachine, watchProcess } from "./server.ts";
import { describeFaults } from "./verdict.ts";

/** Who looks on. */
export interface Onlooker {
  /** Aborted: end soon, with what was measured. */
  interruption: AbortSignal;
  /** A part of the run, and how much of it is done, 0 to 1. */
  progress(part: string, done: number): void;
}

/** Of one bench: each has a bit of memory. */
export const MOST_MESSAGES = 1_000_000_000;
/** How long the measured part takes if nobody says how many messages. */
const SECONDS = 5;
const LEAST_MESSAGES = 1_000;
/** One by one: at most so many, and not for longer than this. Of the first tenth, nothing is recorded. */
const ONE_BY_ONE = 1_000;
const ONE_BY_ONE_MS = 2_000;
const UNRECORDED_PART = 0.1;
/** The warm-up: at most so many, and not for longer than this. */
const WARM_UP = 4_000_000;
const WARM_UP_MS = 1_000;
/**
 * Sent and not received at most: enough for a line that is never empty. More would only make it longer, and
 * all latencies with it, and fill a server whose consumers are slow.
 */
const AHEAD = 16_384;
const AHEAD_BYTES = 16 * 1024 * 1024;
/** The part of what is free in the server. */
const AHEAD_OF_FREE = 0.25;
/** Of these, so many are on their way to the server at once, of all producers. */
const WINDOW_PART = 0.25;
/** What the server needs for a message beside its body, about. */
const OVERHEAD = 64;

/**
 * Throws CANCELLED if it is interrupted before anything is measured, and what a producer or consumer
 * throws. That messages are missing, or came twice, is no error but a result.
 */
export async function runBench(plan: BenchPlan, onlooker: Onlooker): Promise<Measured> {
  onlooker.progress("connecting", 0);
  const crew = await Crew.open(plan);
  const stop = (): void => crew.board.stop();
  onlooker.interruption.addEventListener("abort", stop);
  if (onlooker.interruption.aborted) stop();
  try {
    const measured = await new Bench(plan, crew, onlooker).run();
    await crew.close();
    measured.faults.left = await messagesLeft(plan.target, plan.topic);
    return measured;
  } finally {
    onlooker.interruption.removeEventListener("abort", stop);
    // Where it failed, too: what is still held by a consumer could not be swept.
    await crew.close().catch(() => {});
    crew.end();
    if (plan.ownTopic) await sweep(plan);
  }
}

/** Nothing is left behind where the bench failed, if the server can still be told. */
async function sweep({ target, topic }: BenchPlan): Promise<void> {
  try {
    if ((await messagesLeft(target, topic)) > 0) await purge(target, topic);
  } catch {
    // What made the bench fail says more; and an unreachable server keeps what it has in any case.
  }
}

/** The error of a bench whose messages did not arrive as they should. */
export async function faultyBench({ target, topic }: BenchPlan, faults: Faults): Promise<TinyMQError> {
  const losses = faults.missing > 0 ? await explainLosses(target, topic) : "";
  return new TinyMQError("DATA_LOSS", `${describeFaults(faults)}${losses}`);
}

class Bench {
  readonly #plan: BenchPlan;
  readonly #crew: Crew;
  readonly #onlooker: Onlooker;
  /** The next id. */
  #next = 0;
  /** Of the phases before the measured one. */
  #faults: Faults = { missing: 0, duplicates: 0, damaged: 0, foreign: 0, outOfOrder: 0, left: 0 };

  constructor(plan: BenchPlan, crew: Crew, onlooker: Onlooker) {
    this.#plan = plan;
    this.#crew = crew;
    this.#onlooker = onlooker;
  }

  async run(): Promise<Measured> {
    const { count, rate, server } = this.#plan;
    const oneByOne = Math.min(count || ONE_BY_ONE, ONE_BY_ONE);
    const single = await this.#phase("one by one", {
      count: oneByOne,
      active: 1,
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
    // The board stops where messages are lost, too.
    if (this.#crew.board.stopped) throw await faultyBench(this.#plan, this.#faults);
    const planned = count || this.#countFor(warm);
    const serverCpu = watchProcess(server.pid);
    const machineCpu = watchMachine();
    const result = await this.#phase("measuring", { count: planned });
    const measured = summarize(result, {
      planned,
      roundTrip: latencyOf(single.sent),
      faults: this.#faults,
      serverCpu: serverCpu(),
      machineCpu: machineCpu(),
      interrupted: this.#onlooker.interruption.aborted,
    });
    if (measured.stored === 0) this.#throwIfInterrupted();
    return measured;
  }

  async #phase(part: string, changes: Partial<Phase> & { count: number }): Promise<PhaseResult> {
    const { producers, rate, size, target, topic, server } = this.#plan;
    this.#throwIfInterrupted();
    const bytesAhead = Math.min(AHEAD_BYTES, server.free * AHEAD_OF_FREE);
    const ahead = Math.max(producers, Math.min(AHEAD, Math.floor(bytesAhead / (size + OVERHEAD))));
    const phase: Phase = {
      first: this.#next,
      active: producers,
      window: Math.ceil((ahead * WINDOW_PART) / producers),
      ahead,
      rate,
      forMs: 0,
      unrecorded: 0,
      seen: new Seen(changes.count).buffer,
      ...changes,
    };
    this.#next += phase.count;
    const { board } = this.#crew;
    const receivedBefore = board.received;
    const isEmpty = async (): Promise<boolean> => (await messagesLeft(target, topic)) === 0;
    const result = await this.#crew.run(phase, isEmpty, () =>
      this.#onlooker.progress(part, Math.min(1, (board.received - receivedBefore) / phase.count)),
    );
    this.#count(result);
    return result;
  }

  #countFor(warm: PhaseResult): number {
    const { rate } = this.#plan;
    const { stored, sendingMs } = totals(warm);
    const perSecond = rate > 0 ? rate : (stored * 1_000) / Math.max(1, sendingMs);
    // Two digits: a number that can be remembered.
    const count = Number((perSecond * SECONDS).toPrecision(2));
    return Math.ceil(Math.min(MOST_MESSAGES, Math.max(rate > 0 ? 1 : LEAST_MESSAGES, count)));
  }

  #count({ sent, received }: PhaseResult): void {
    const faults = this.#faults;
    const stored = sent.reduce((sum, part) => sum + part.stored, 0);
    const retried = sent.some((part) => part.retried > 0);
    faults.missing += stored;
    for (const part of received) {
      faults.missing -= part.distinct;
      faults.duplicates += part.duplicates;
      faults.damaged += part.damaged;
      faults.foreign += part.foreign;
      // What was sent again came behind what was sent after it, and shared consumers have no order.
      if (this.#plan.consumers === 1 && !retried) faults.outOfOrder += part.outOfOrder;
    }
  }

  #throwIfInterrupted(): void {
    if (!this.#onlooker.interruption.aborted) return;
    throw new TinyMQError("CANCELLED", "interrupted before anything was measured");
  }
}

function summarize(
  result: PhaseResult,
  known: Pick<Measured, "planned" | "roundTrip" | "faults" | "interrupted"> &
    Record<"serverCpu" | "machineCpu", number | null>,
): Measured {
  const { serverCpu, machineCpu, ...rest } = known;
  return {
    ...rest,
    ...totals(result),
    acknowledged: latencyOf(result.sent),
    delivered: latencyOf(result.received),
    retried: result.sent.reduce((sum, { retried }) => sum + retried, 0),
    cpu: {
      producers: result.sent.map(({ cpu }) => cpu),
      consumers: result.received.map(({ cpu }) => cpu),
      server: serverCpu,
      machine: machineCpu,
    },
  };
}

function totals({ sent, received }: PhaseResult): Pick<Measured, "stored" | "sendingMs" | "receivingMs"> {
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
