/** bunqueue in server mode, without a data path: everything in memory. Bodies travel in a job's data. */
import { join } from "node:path";
import type { Queue } from "bunqueue/client";
import type { Bodies } from "../harness/bodies.ts";
import { freePort, HOST, ServerProcess, temporaryFolder } from "../harness/server-process.ts";
import type {
  BenchConsumer,
  BenchProducer,
  Client,
  OpenOptions,
  RunningServer,
  Subject,
} from "../harness/subject.ts";

const MANY = 250;
const WINDOW = 4 * MANY;
const CONCURRENCY = 200;
const BATCH = 200;

export const bunqueue: Subject = {
  key: "bunqueue",
  name: "bunqueue (server, in memory)",
  role: "peer",
  promise: "add answered: stored; acknowledged when the processor ends; at least once",
  atLeastOnce: true,
  client: `bunqueue/client; addBulk of ${MANY}, ${WINDOW} in flight; Worker with concurrency ${CONCURRENCY}, batchSize ${BATCH}`,
  abilities: { queue: true, shared: true, produceStyles: ["many", "send"] },
  runtimes: ["bun"],
  find,
  start,
  async connect({ host, port }) {
    const library = await import("bunqueue/client");
    const connection = { host, port };
    return new BunqueueClient(
      (topic) => new library.Queue<{ body: string }>(topic, { connection }),
      (topic, take) => {
        const worker = new library.Worker<{ body: string }>(
          topic,
          async (job: { data: { body: string } }) => take(job.data.body),
          {
            connection,
            concurrency: CONCURRENCY,
            batchSize: BATCH,
            removeOnComplete: true,
          },
        );
        return () => worker.close();
      },
    );
  },
};

const folder = (): string => join(import.meta.dir, "..", "node_modules", "bunqueue");

async function find(): Promise<{ version: string } | { missing: string }> {
  const manifest = Bun.file(join(folder(), "package.json"));
  if (!(await manifest.exists())) return { missing: "bun install in bench/" };
  return { version: ((await manifest.json()) as { version: string }).version };
}

async function start(): Promise<RunningServer> {
  const [port, httpPort] = [await freePort(), await freePort()];
  const work = temporaryFolder();
  const program = join(folder(), "dist", "cli", "index.js");
  const args = ["start", "--host", HOST, "--tcp-port", String(port), "--http-port", String(httpPort)];
  const server = new ServerProcess([process.execPath, program, ...args], { cwd: work.path });
  await server.listens(port);
  return {
    port,
    pids: [server.pid],
    command: `bunqueue start --host ${HOST} --tcp-port PORT --http-port PORT`,
    async stop() {
      await server.stop();
      work.remove();
    },
  };
}

type OpenQueue = (topic: string) => Queue<{ body: string }>;
type OpenWorker = (topic: string, take: (body: string) => void) => () => Promise<void>;

class BunqueueClient implements Client {
  readonly #queue: OpenQueue;
  readonly #worker: OpenWorker;

  constructor(queue: OpenQueue, worker: OpenWorker) {
    this.#queue = queue;
    this.#worker = worker;
  }

  async producer({ topic }: OpenOptions): Promise<BenchProducer> {
    const queue = this.#queue(topic);
    const job = (bodies: Bodies, seq: number) => ({ name: "bench", data: { body: bodies.text(seq) } });
    return {
      window: WINDOW,
      many: MANY,
      send: (bodies, seq) => queue.add("bench", job(bodies, seq).data),
      sendMany: (bodies, first, count) =>
        queue.addBulk(Array.from({ length: count }, (_, index) => job(bodies, first + index))),
      close: async () => void (await queue.close()),
    };
  }

  async consumer({ topic }: OpenOptions): Promise<BenchConsumer> {
    let close: () => Promise<void> = async () => {};
    return {
      consume: async (sink) => {
        close = this.#worker(topic, (body) => void sink.text(body));
        await sink.done;
      },
      close: () => close(),
    };
  }

  async remove({ topic }: OpenOptions): Promise<void> {
    const queue = this.#queue(topic);
    await queue.obliterateAsync();
    await queue.close();
  }

  async close(): Promise<void> {}
}
