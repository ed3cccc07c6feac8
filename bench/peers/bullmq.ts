/** BullMQ on Redis that keeps nothing on disk. Bodies travel in a job's data. */
import type { Bodies } from "../harness/bodies.ts";
import type {
  BenchConsumer,
  BenchProducer,
  Client,
  OpenOptions,
  Subject,
  Target,
} from "../harness/subject.ts";
import { findRedis, startRedis } from "./redis-server.ts";

const MANY = 250;
const WINDOW = 4 * MANY;
const CONCURRENCY = 100;

type Library = typeof import("bullmq");

export const bullmq: Subject = {
  key: "bullmq",
  name: "BullMQ (Redis)",
  role: "peer",
  promise: "add answered: stored in Redis; completed when the processor ends; at least once",
  atLeastOnce: true,
  client: `bullmq with ioredis; addBulk of ${MANY}, ${WINDOW} in flight; Worker with concurrency ${CONCURRENCY}, removeOnComplete`,
  abilities: { queue: true, shared: true, produceStyles: ["many", "send"] },
  runtimes: ["bun"],
  find: findRedis,
  start: startRedis,
  connect: async (target) => new BullmqClient(await import("bullmq"), target),
};

class BullmqClient implements Client {
  readonly #library: Library;
  readonly #connection: { host: string; port: number };

  constructor(library: Library, { host, port }: Target) {
    this.#library = library;
    this.#connection = { host, port };
  }

  async producer({ topic }: OpenOptions): Promise<BenchProducer> {
    const queue = new this.#library.Queue<{ body: string }>(topic, {
      connection: this.#connection,
      defaultJobOptions: { removeOnComplete: true },
    });
    await queue.waitUntilReady();
    const job = (bodies: Bodies, seq: number) => ({ name: "bench", data: { body: bodies.text(seq) } });
    return {
      window: WINDOW,
      many: MANY,
      send: (bodies, seq) => queue.add("bench", job(bodies, seq).data),
      sendMany: (bodies, first, count) =>
        queue.addBulk(Array.from({ length: count }, (_, index) => job(bodies, first + index))),
      close: () => queue.close(),
    };
  }

  async consumer({ topic }: OpenOptions): Promise<BenchConsumer> {
    const { Worker } = this.#library;
    let take: (body: string) => void = () => {};
    const worker = new Worker<{ body: string }>(topic, async ({ data }) => take(data.body), {
      connection: this.#connection,
      concurrency: CONCURRENCY,
      autorun: false,
    });
    await worker.waitUntilReady();
    return {
      async consume(sink) {
        take = (body) => void sink.text(body);
        void worker.run();
        await sink.done;
      },
      close: () => worker.close(),
    };
  }

  async remove({ topic }: OpenOptions): Promise<void> {
    const queue = new this.#library.Queue(topic, { connection: this.#connection });
    await queue.obliterate({ force: true });
    await queue.close();
  }

  async close(): Promise<void> {}
}
