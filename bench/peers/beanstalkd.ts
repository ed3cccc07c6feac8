/** beanstalkd: put; reserve; delete. It keeps jobs in memory unless it is given a log. */
import type { JackdClient } from "jackd";
import type { Bodies } from "../harness/bodies.ts";
import { freePort, HOST, ServerProcess } from "../harness/server-process.ts";
import type { Sink } from "../harness/sink.ts";
import type {
  BenchConsumer,
  BenchProducer,
  Client,
  OpenOptions,
  RunningServer,
  Subject,
  Target,
} from "../harness/subject.ts";
import { debianProgram } from "./debian.ts";

const WINDOW = 512;
/** The client cannot have two reserves in flight on one connection, so a consumer has several. */
const RESERVING = 8;
const RESERVE_SECONDS = 1;
const LARGEST_JOB = 1_048_576;

export const beanstalkd: Subject = {
  key: "beanstalkd",
  name: "beanstalkd",
  role: "peer",
  promise: "put answered INSERTED: stored in memory; delete answered DELETED; at least once",
  atLeastOnce: true,
  client: `jackd, ${WINDOW} puts in flight; a consumer has ${RESERVING} connections, each delete and next reserve together`,
  abilities: { queue: true, shared: true },
  runtimes: ["bun"],
  find: () => debianProgram(["beanstalkd", "-v"], "beanstalkd"),
  start,
  async connect(target) {
    // Its types say that the class is a property of the default export; it is the default export.
    const { default: Jackd } = (await import("jackd")) as unknown as { default: new () => JackdClient };
    return new BeanstalkdClient(target, () => new Jackd());
  },
};

async function start(): Promise<RunningServer> {
  const port = await freePort();
  const server = new ServerProcess(["beanstalkd", "-l", HOST, "-p", String(port), "-z", String(LARGEST_JOB)]);
  await server.listens(port);
  return {
    port,
    pids: [server.pid],
    command: `beanstalkd -l ${HOST} -p PORT -z ${LARGEST_JOB}`,
    stop: () => server.stop(),
  };
}

class BeanstalkdClient implements Client {
  readonly #target: Target;
  readonly #make: () => JackdClient;

  constructor(target: Target, make: () => JackdClient) {
    this.#target = target;
    this.#make = make;
  }

  async producer({ topic }: OpenOptions): Promise<BenchProducer> {
    const client = await this.#make().connect({ ...this.#target });
    await client.use(topic);
    return {
      window: WINDOW,
      // This client turns a Buffer into JSON.
      send: (bodies: Bodies, seq: number) => client.put(bodies.text(seq)),
      close: () => client.close(),
    };
  }

  async consumer({ topic }: OpenOptions): Promise<BenchConsumer> {
    const clients = await Promise.all(
      Array.from({ length: RESERVING }, async () => {
        const client = await this.#make().connect({ ...this.#target });
        await client.watch(topic);
        return client;
      }),
    );
    return {
      consume: (sink) => reserveWithAll(clients, sink),
      close: async () => void (await Promise.all(clients.map((client) => client.close()))),
    };
  }

  async close(): Promise<void> {}
}

async function reserveWithAll(clients: JackdClient[], sink: Sink): Promise<void> {
  const deletes = new Set<Promise<void>>();
  const reserving = clients.map(async (client) => {
    while (!sink.full) {
      const job = await client.reserveWithTimeout(RESERVE_SECONDS).catch(nullIfTimedOut);
      if (job === null) continue;
      sink.text(job.payload.toString("latin1"));
      const deleted = client.delete(job.id).finally(() => deletes.delete(deleted));
      deletes.add(deleted);
    }
  });
  // Connections that still wait for a job when the last one has arrived are not waited for.
  await Promise.race([sink.done, Promise.all(reserving)]);
  await Promise.all(deletes);
}

function nullIfTimedOut(error: unknown): null {
  if (String(error).includes("TIMED_OUT")) return null;
  throw error;
}
