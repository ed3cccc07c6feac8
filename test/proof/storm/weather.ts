/** One storm: a server, a healthy pair beside it, and processes of hostile clients. */
import { join } from "node:path";
import { adminClient } from "../../../src/index.ts";
import type { ServerOptions } from "../../../src/server/index.ts";
import { MiB } from "../load.ts";
import { residentOf, startServer } from "../server-process.ts";
import { within } from "../until.ts";
import type { AttackName } from "./attacks.ts";
import type { Deeds, Orders } from "./hostile.ts";
import type { PairOrders, PairReport } from "./pair.ts";

/** The pair's topic. */
const TOPIC = "healthy";

/** Servers that a storm may meet. */
export const SERVERS = {
  default: {},
  small: { maxMemory: 64 * MiB },
  dropping: { maxMemory: 64 * MiB, overflow: "drop-oldest", maxDeliveries: 2 },
} satisfies Record<string, ServerOptions>;
export type ServerName = keyof typeof SERVERS;

export interface Storm {
  readonly server: ServerName;
  readonly seconds: number;
  readonly seed: number;
  /** 1: attacks of full size. */
  readonly scale: number;
  readonly attacks: readonly AttackName[];
}

export interface Damage {
  readonly pair: PairReport;
  readonly deeds: Deeds;
  /** Bytes. */
  readonly idle: number;
  readonly peak: number;
  /** Charged for messages in the end. */
  readonly memoryUsed: number;
  readonly memoryLimit: number;
  /** Messages of the pair that the server dropped for room, as it says. */
  readonly dropped: number;
  /** What the server wrote to its log as errors. */
  readonly errors: readonly string[];
}

const HOSTILE_PROCESSES = 2;
/** Messages a second of the pair. */
const RATE = 200;
/** What attacks may take to end, and to look whether something was lost, in ms. */
const ENDING_MS = 90_000;

export async function storm({ server: name, seconds, seed, scale, attacks }: Storm): Promise<Damage> {
  const options: ServerOptions = SERVERS[name];
  const server = await startServer(options);
  await server.status();
  const idle = server.resident;
  await using pair = new Child<PairOrders, PairReport>("pair.ts");
  await pair.tell({ port: server.port, topic: TOPIC, rate: RATE }).opened;
  let peak = 0;
  const sampling = setInterval(() => {
    peak = Math.max(peak, residentOf(server.pid));
  }, 20);
  const keeps = options.overflow !== "drop-oldest";
  const hostile = Array.from({ length: Math.min(HOSTILE_PROCESSES, attacks.length) }, (_, which) => {
    const own = attacks.filter((_name, at) => at % HOSTILE_PROCESSES === which);
    const orders = { port: server.port, seed: seed + 1_000 * which, scale, keeps, attacks: own };
    return new Child<Orders, Deeds>("hostile.ts").tell(orders);
  });
  try {
    await Bun.sleep(seconds * 1000);
    const all = await Promise.all(hostile.map((each) => each.stop()));
    const pairReport = await pair.stop();
    const { memoryUsed, memoryLimit } = await server.status();
    const { counters } = await adminClient("127.0.0.1", server.port).getTopic({ topic: TOPIC }).response;
    const errors = server.log.split("\n").filter((line) => / error /i.test(line));
    return {
      pair: pairReport,
      deeds: Object.assign({}, ...all),
      idle,
      peak,
      memoryUsed,
      memoryLimit,
      dropped: counters?.dropped ?? 0,
      errors,
    };
  } finally {
    clearInterval(sampling);
    for (const each of hostile) await each[Symbol.asyncDispose]();
  }
}

/** A process of ours that is told what to do, and tells in the end what came of it. */
class Child<Told, Reported> implements AsyncDisposable {
  readonly #process: Bun.Subprocess;
  readonly opened: Promise<void>;
  readonly #reported: Promise<Reported>;

  constructor(program: string) {
    const opened = Promise.withResolvers<void>();
    const reported = Promise.withResolvers<Reported>();
    this.opened = opened.promise;
    this.#reported = reported.promise;
    const failed = new Error(`${program} ended`);
    reported.promise.catch(() => {});
    opened.promise.catch(() => {});
    this.#process = Bun.spawn([process.execPath, join(import.meta.dir, program)], {
      stdio: ["ignore", "inherit", "inherit"],
      ipc: (message) => (message === "open" ? opened.resolve() : reported.resolve(message)),
      onExit: () => {
        opened.reject(failed);
        reported.reject(failed);
      },
    });
  }

  tell(orders: Told): this {
    this.#process.send(orders);
    return this;
  }

  /** Ends what it does, and resolves with its report. */
  async stop(): Promise<Reported> {
    if (this.#process.exitCode === null) this.#process.send("stop");
    return await within("the end of a storm", ENDING_MS, this.#reported);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#process.kill("SIGKILL");
    await this.#process.exited;
  }
}
