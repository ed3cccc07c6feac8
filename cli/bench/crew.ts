/** All clients of a bench, in threads of their own, and one phase after the other. */
import { availableParallelism } from "node:os";
import type { Target } from "../target.ts";
import { Board } from "./board.ts";
import type { Answer, Phase, Received, Request, Sent } from "./protocol.ts";
import { ClientThread } from "./thread.ts";

/** What is measured with. */
export interface CrewOptions {
  target: Target;
  topic: string;
  /** Bytes of a body. */
  size: number;
  producers: number;
  consumers: number;
}

/** What became of a phase; one entry for each thread. */
export interface PhaseResult {
  sent: Sent[];
  received: Received[];
}

/** How often it is looked at how far a phase is, in ms. */
const WATCH_MS = 20;
/** After so long without a message, in ms, it is asked whether any is left. */
const QUIET_MS = 500;

export class Crew {
  readonly board: Board;
  readonly #producers: ClientThread[] = [];
  readonly #consumers: ClientThread[] = [];

  private constructor(board: Board) {
    this.board = board;
  }

  /** Connects all. Throws what keeps the first of them from it. */
  static async open({ target, topic, size, producers, consumers }: CrewOptions): Promise<Crew> {
    const board = new Board(producers, consumers);
    const crew = new Crew(board);
    const shared = { target, topic, size, producers, consumers, board: board.buffer };
    try {
      for (const numbers of spread(consumers)) {
        crew.#consumers.push(await ClientThread.open({ ...shared, role: "consumers", numbers }));
      }
      for (const numbers of spread(producers)) {
        crew.#producers.push(await ClientThread.open({ ...shared, role: "producers", numbers }));
      }
      return crew;
    } catch (error) {
      crew.end();
      throw error;
    }
  }

  /**
   * Runs a phase to its end: all is received, or `isEmpty` says that no message is left for the consumers.
   * `look` is called again and again. Throws what made a thread fail.
   */
  async run(phase: Phase, isEmpty: () => Promise<boolean>, look: () => void): Promise<PhaseResult> {
    await this.#askAll(this.#consumers, { kind: "begin", phase });
    const active = this.#producers.filter(({ numbers }) => numbers.some((number) => number < phase.active));
    let producing = true;
    const sent = this.#askAll(active, { kind: "begin", phase }).finally(() => {
      producing = false;
    });
    sent.catch(() => {});
    await this.#watch(() => producing, isEmpty, look);
    return {
      sent: (await sent) as Sent[],
      received: (await this.#askAll(this.#consumers, { kind: "collect" })) as Received[],
    };
  }

  /** Closes all connections: what was received is acknowledged then. */
  async close(): Promise<void> {
    await this.#askAll([...this.#producers, ...this.#consumers], { kind: "close" });
  }

  /** Ends the threads, whatever they do. */
  end(): void {
    for (const thread of [...this.#producers, ...this.#consumers]) thread.end();
  }

  async #watch(isProducing: () => boolean, isEmpty: () => Promise<boolean>, look: () => void): Promise<void> {
    const { board } = this;
    let received = board.received;
    let quietSince = performance.now();
    while (isProducing() || board.received < board.stored) {
      await Bun.sleep(WATCH_MS);
      this.#throwFailure();
      look();
      const progressed = board.received !== received;
      received = board.received;
      if (progressed) quietSince = performance.now();
      if (performance.now() - quietSince < QUIET_MS) continue;
      quietSince = performance.now();
      // Of those that the server lost, nobody tells: neither may the producers wait for them.
      const settled = board.sent === board.stored;
      if (!settled || board.received === board.stored) continue;
      if (!(await isEmpty()) || board.received !== received) continue;
      board.stop();
      if (!isProducing()) return;
    }
  }

  #askAll(threads: ClientThread[], request: Request): Promise<Answer[]> {
    return Promise.all(threads.map((thread) => thread.ask(request)));
  }

  #throwFailure(): void {
    for (const { failure } of [...this.#producers, ...this.#consumers]) if (failure) throw failure;
  }
}

/**
 * Numbers below `count`, by thread: as many threads as connections, but not more than half of the CPUs, for
 * the other side wants the other half.
 */
function spread(count: number): number[][] {
  const threads = Math.min(count, Math.max(1, availableParallelism() >> 1));
  const numbers = Array.from({ length: threads }, (): number[] => []);
  for (let number = 0; number < count; number += 1) numbers[number % threads]!.push(number);
  return numbers;
}
