/** The bench's end of a client process (the other end: client-program.ts). */
import { join } from "node:path";
import type { FromClientProcess, ToClientProcess, Verb, Verbs } from "./client-protocol.ts";
import { nodeClientProgram } from "./node-bundle.ts";
import type { Runtime } from "./subject.ts";

/** A step that takes longer than this, in ms, has failed. */
const STEP_TIMEOUT_MS = 120_000;
const READY_TIMEOUT_MS = 20_000;
const GOODBYE_MS = 2_000;

interface Waiting {
  resolve: (result: unknown) => void;
  reject: (error: Error) => void;
}

export class ClientProcess {
  readonly runtime: Runtime;
  /** Called with the number of messages that its slowest receiver has, whenever that grew. */
  onProgress: (received: number) => void = () => {};
  readonly #child: Bun.Subprocess;
  readonly #waiting = new Map<number, Waiting>();
  #nextId = 0;
  #ready: () => void = () => {};

  private constructor(runtime: Runtime, command: string[]) {
    this.runtime = runtime;
    this.#child = Bun.spawn(command, {
      stdio: ["ignore", "ignore", process.env.TINYMQ_BENCH_DEBUG ? "inherit" : "ignore"],
      serialization: "json",
      ipc: (message: FromClientProcess) => this.#receive(message),
      onExit: (_child, code, signal) => this.#ended(`ended with ${signal ?? code}`),
    });
  }

  /** `flags` go to the runtime. */
  static async start(runtime: Runtime, flags: readonly string[] = []): Promise<ClientProcess> {
    const command =
      runtime === "bun"
        ? [process.execPath, ...flags, join(import.meta.dir, "client-program.ts")]
        : ["node", ...flags, await nodeClientProgram()];
    const client = new ClientProcess(runtime, command);
    await within(
      READY_TIMEOUT_MS,
      `a client process (${runtime}) to start`,
      new Promise<void>((resolve, reject) => {
        client.#ready = resolve;
        client.#waiting.set(-1, { resolve: () => {}, reject });
      }),
    );
    return client;
  }

  get pid(): number {
    return this.#child.pid;
  }

  ask<V extends Verb>(verb: V, task: Verbs[V]["takes"]): Promise<Verbs[V]["gives"]> {
    const id = this.#nextId++;
    const answered = new Promise<unknown>((resolve, reject) => this.#waiting.set(id, { resolve, reject }));
    this.#send({ id, verb, task } as ToClientProcess);
    return within(STEP_TIMEOUT_MS, `"${verb}" in a client process`, answered) as Promise<Verbs[V]["gives"]>;
  }

  credit(received: number): void {
    this.#send({ credit: received });
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    this.#send({ bye: true });
    const timer = setTimeout(() => this.#child.kill("SIGKILL"), GOODBYE_MS);
    await this.#child.exited;
    clearTimeout(timer);
  }

  #send(message: ToClientProcess): void {
    this.#child.send(message);
  }

  #receive(message: FromClientProcess): void {
    if ("ready" in message) return this.#ready();
    if ("progress" in message) return this.onProgress(message.progress);
    const waiting = this.#waiting.get(message.id);
    this.#waiting.delete(message.id);
    if ("error" in message) waiting?.reject(new Error(message.error));
    else waiting?.resolve(message.result);
  }

  #ended(how: string): void {
    for (const { reject } of this.#waiting.values()) reject(new Error(`a client process ${how}`));
    this.#waiting.clear();
  }
}

/** Rejects if `promise` takes longer than `ms`. */
export async function within<T>(ms: number, what: string, promise: Promise<T>): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`${what} took longer than ${ms / 1_000} s`)), ms);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
