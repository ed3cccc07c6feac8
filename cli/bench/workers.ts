/** All clients of a benchmark, in threads of their own, and one phase after the other. */
import { existsSync } from "node:fs";
import { availableParallelism } from "node:os";
import { fileURLToPath } from "node:url";
import { TinyMQError } from "../../src/errors.ts";
import type { Answer, FromWorker, Phase, Received, Request, Sent, Setup } from "./protocol.ts";
import { SharedCounts } from "./shared-counts.ts";

/** What became of a phase; one entry for each worker that took part. */
export interface PhaseResult {
  sent: Sent[];
  received: Received[];
}

/** How often the progress of a phase is looked at, in ms. */
const WATCH_MS = 20;
/** After so long without a message, in ms, the server is asked whether any is left. */
const QUIET_MS = 500;

export class Workers {
  readonly counts: SharedCounts;
  readonly #producers: ClientWorker[] = [];
  readonly #consumers: ClientWorker[] = [];

  private constructor(counts: SharedCounts) {
    this.counts = counts;
  }

  /** Connects all clients. Throws what keeps the first of them from it. */
  static async open({
    target,
    topic,
    size,
    producers,
    consumers,
  }: Omit<Setup, "role" | "numbers" | "counts">): Promise<Workers> {
    const counts = new SharedCounts(producers, consumers);
    const workers = new Workers(counts);
    const setup = { target, topic, size, producers, consumers, counts: counts.buffer };
    try {
      for (const numbers of spread(consumers)) {
        workers.#consumers.push(await ClientWorker.open({ ...setup, role: "consumers", numbers }));
      }
      for (const numbers of spread(producers)) {
        workers.#producers.push(await ClientWorker.open({ ...setup, role: "producers", numbers }));
      }
      return workers;
    } catch (error) {
      workers.terminate();
      throw error;
    }
  }

  /**
   * Runs a phase to its end: all messages are received, or `isEmpty` says that none is left for the consumers.
   * `look` is called again and again. Throws what made a worker fail.
   */
  async run(phase: Phase, isEmpty: () => Promise<boolean>, look: () => void): Promise<PhaseResult> {
    await askAll(this.#consumers, { kind: "begin", phase });
    const active = this.#producers.filter(({ numbers }) =>
      numbers.some((number) => number < phase.producers),
    );
    let producing = true;
    const sent = askAll(active, { kind: "begin", phase }).finally(() => {
      producing = false;
    });
    // Awaited below; until then a failure is thrown by the watch.
    sent.catch(() => {});
    await this.#watch(() => producing, isEmpty, look);
    return {
      sent: (await sent) as Sent[],
      received: (await askAll(this.#consumers, { kind: "collect" })) as Received[],
    };
  }

  /** Closes all connections, which acknowledges what was received. */
  async close(): Promise<void> {
    await askAll(this.#all, { kind: "close" });
  }

  /** Ends the threads, whatever they do. */
  terminate(): void {
    for (const worker of this.#all) worker.terminate();
  }

  get #all(): ClientWorker[] {
    return [...this.#producers, ...this.#consumers];
  }

  async #watch(isProducing: () => boolean, isEmpty: () => Promise<boolean>, look: () => void): Promise<void> {
    const { counts } = this;
    let received = counts.received;
    let quietSince = performance.now();
    while (isProducing() || counts.received < counts.stored) {
      await Bun.sleep(WATCH_MS);
      for (const { failure } of this.#all) if (failure) throw failure;
      look();
      const progressed = counts.received !== received;
      received = counts.received;
      if (progressed) quietSince = performance.now();
      if (performance.now() - quietSince < QUIET_MS) continue;
      quietSince = performance.now();
      // Nobody tells of messages that the server lost, and the producers must not wait for them either.
      const settled = counts.sent === counts.stored;
      if (!settled || counts.received === counts.stored) continue;
      if (!(await isEmpty()) || counts.received !== received) continue;
      counts.stop();
      if (!isProducing()) return;
    }
  }
}

/** The main thread's end of a worker. */
class ClientWorker {
  /** The numbers of its connections. */
  readonly numbers: readonly number[];
  /** Why the worker failed, if it did. */
  failure: Error | undefined;
  readonly #worker = new Worker(workerProgram());
  /** Requests that wait for an answer, the oldest first. */
  #waiting: PromiseWithResolvers<Answer>[] = [];

  private constructor(numbers: readonly number[]) {
    this.numbers = numbers;
    this.#worker.onmessage = ({ data }: MessageEvent<FromWorker>) => {
      if ("answer" in data) this.#waiting.shift()?.resolve(data.answer);
      else this.#fail(new TinyMQError(data.failed.code, data.failed.message));
    };
    this.#worker.onerror = ({ message }) => this.#fail(new Error(message));
  }

  /** A worker whose clients are connected. Throws what keeps them from it. */
  static async open(setup: Setup): Promise<ClientWorker> {
    const worker = new ClientWorker(setup.numbers);
    try {
      await worker.ask({ kind: "open", setup });
      return worker;
    } catch (error) {
      worker.terminate();
      throw error;
    }
  }

  /** Rejects with what made the worker fail, then or before. */
  ask(request: Request): Promise<Answer> {
    if (this.failure !== undefined) return Promise.reject(this.failure);
    const waiting = Promise.withResolvers<Answer>();
    this.#waiting.push(waiting);
    this.#worker.postMessage(request);
    return waiting.promise;
  }

  /** Ends the thread, whatever it does. */
  terminate(): void {
    this.#worker.terminate();
  }

  #fail(error: Error): void {
    this.failure ??= error;
    for (const { reject } of this.#waiting) reject(error);
    this.#waiting = [];
  }
}

function askAll(workers: readonly ClientWorker[], request: Request): Promise<Answer[]> {
  return Promise.all(workers.map((worker) => worker.ask(request)));
}

/** The program `bench/worker`, beside the running one: bundled, or as source. */
function workerProgram(): string {
  const bundled = fileURLToPath(new URL("./bench/worker.js", import.meta.url));
  return existsSync(bundled) ? bundled : fileURLToPath(new URL("./worker.ts", import.meta.url));
}

/**
 * Numbers below `count`, by worker: as many workers as connections, but at most half of the CPUs, since the
 * other side needs the other half.
 */
function spread(count: number): number[][] {
  const workers = Math.min(count, Math.max(1, availableParallelism() >> 1));
  const numbers = Array.from({ length: workers }, (): number[] => []);
  for (let number = 0; number < count; number += 1) numbers[number % workers]!.push(number);
  return numbers;
}
