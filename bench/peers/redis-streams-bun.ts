/**
 * Redis streams through the client that is built into Bun: not from npm, and faster than those that are.
 * The same commands as `redis-streams`; the client pipelines the commands of one turn by itself. Bodies are
 * text, since it decodes what XREADGROUP answers as UTF-8.
 */
import type { Sink } from "../harness/sink.ts";
import type {
  BenchConsumer,
  BenchProducer,
  Client,
  OpenOptions,
  Subject,
  Target,
} from "../harness/subject.ts";
import { findRedis, startRedis } from "./redis-server.ts";

const WINDOW = 4_096;
/** Entries of one XREADGROUP. */
const READ = "1000";
const BLOCK_MS = "50";
const GROUP = "bench";

export const redisStreamsBun: Subject = {
  key: "redis-streams-bun",
  name: "Redis streams (Bun.redis)",
  role: "peer",
  promise: "as Redis streams",
  atLeastOnce: true,
  client: `the client built into Bun, ${WINDOW} XADD in flight; consumer: XREADGROUP COUNT ${READ}, one XACK for all`,
  abilities: { queue: true, shared: true },
  runtimes: ["bun"],
  sameServerAs: "redis-streams",
  find: findRedis,
  start: startRedis,
  connect: async (target) => new BunRedisClient(target),
};

class BunRedisClient implements Client {
  readonly #target: Target;
  #consumers = 0;

  constructor(target: Target) {
    this.#target = target;
  }

  async prepare({ topic }: OpenOptions): Promise<void> {
    const redis = await this.#open();
    await redis.send("XGROUP", ["CREATE", topic, GROUP, "0", "MKSTREAM"]);
    redis.close();
  }

  async remove({ topic }: OpenOptions): Promise<void> {
    const redis = await this.#open();
    await redis.send("DEL", [topic]);
    redis.close();
  }

  async producer({ topic }: OpenOptions): Promise<BenchProducer> {
    const redis = await this.#open();
    return {
      window: WINDOW,
      send: (bodies, seq) => redis.send("XADD", [topic, "*", "b", bodies.text(seq)]),
      close: async () => redis.close(),
    };
  }

  async consumer({ topic }: OpenOptions): Promise<BenchConsumer> {
    const redis = await this.#open();
    const name = `consumer-${this.#consumers++}`;
    return { consume: (sink) => readAll(redis, topic, name, sink), close: async () => redis.close() };
  }

  async close(): Promise<void> {}

  async #open(): Promise<Bun.RedisClient> {
    const redis = new Bun.RedisClient(`redis://${this.#target.host}:${this.#target.port}`);
    await redis.connect();
    return redis;
  }
}

/** As RESP3 answers: by stream, entries of an id and its fields. */
type Answer = Record<string, [id: string, fields: string[]][]> | null;

async function readAll(redis: Bun.RedisClient, topic: string, name: string, sink: Sink): Promise<void> {
  let acknowledged: Promise<unknown> = Promise.resolve();
  const read = ["GROUP", GROUP, name, "COUNT", READ, "BLOCK", BLOCK_MS, "STREAMS", topic, ">"];
  while (!sink.full) {
    const answer = (await redis.send("XREADGROUP", read)) as Answer;
    const entries = answer?.[topic] ?? [];
    for (const [, fields] of entries) sink.text(fields[1]!);
    if (entries.length > 0) acknowledged = redis.send("XACK", [topic, GROUP, ...entries.map(([id]) => id)]);
  }
  await acknowledged;
}
