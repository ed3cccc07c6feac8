/** The main thread's end of a thread with clients. */
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { TinyMQError } from "../../src/errors.ts";
import type { Answer, FromThread, Request, Setup } from "./protocol.ts";

export class ClientThread {
  /** The numbers of its connections. */
  readonly numbers: readonly number[];
  /** Why the thread failed, if it did. */
  failure: Error | undefined;
  readonly #worker: Worker;
  /** Who waits for answers, the oldest first. */
  #waiting: PromiseWithResolvers<Answer>[] = [];

  private constructor(numbers: readonly number[]) {
    this.numbers = numbers;
    this.#worker = new Worker(workerEntry());
    this.#worker.onmessage = ({ data }: MessageEvent<FromThread>) => {
      if ("answer" in data) this.#waiting.shift()?.resolve(data.answer);
      else this.#fail(new TinyMQError(data.failed.code, data.failed.message));
    };
    this.#worker.onerror = ({ message }) => this.#fail(new Error(message));
  }

  /** A thread whose clients are connected. Throws what keeps them from it. */
  static async open(setup: Setup): Promise<ClientThread> {
    const thread = new ClientThread(setup.numbers);
    try {
      await thread.ask({ kind: "open", setup });
      return thread;
    } catch (error) {
      thread.end();
      throw error;
    }
  }

  /** Rejects with what made the thread fail, then or before. */
  ask(request: Request): Promise<Answer> {
    if (this.failure !== undefined) return Promise.reject(this.failure);
    const waiting = Promise.withResolvers<Answer>();
    this.#waiting.push(waiting);
    this.#worker.postMessage(request);
    return waiting.promise;
  }

  /** Ends the thread, whatever it does. */
  end(): void {
    this.#worker.terminate();
  }

  #fail(error: Error): void {
    this.failure ??= error;
    for (const { reject } of this.#waiting) reject(error);
    this.#waiting = [];
  }
}

/** The program `bench/worker`, beside the running one: bundled, or as source. */
function workerEntry(): string {
  const bundled = fileURLToPath(new URL("./bench/worker.js", import.meta.url));
  return existsSync(bundled) ? bundled : fileURLToPath(new URL("./worker.ts", import.meta.url));
}
