/** Redis streams with a consumer group: XADD; XREADGROUP; XACK. Entries stay in the stream until trimmed. */
import type { Redis } from "ioredis";
import type { Sink } from "../harness/sink.ts";
import type {
  BenchConsumer,
  BenchProducer,
  Client,
  OpenOptions,
  Subject,
  Target,
} from "../harness/subject.ts";
import { asBuffer, findRedis, openRedis, requireAnswers, startRedis } from "./redis-server.ts";

/** Commands of one pipeline. */
const MANY = 256;
const WINDOW = 16 * MANY;
/** Entries of one XREADGROUP. */
const READ = 1_000;
const BLOCK_MS = 50;
const GROUP = "bench";

export const redisStreams: Subject = {
  key: "redis-streams",
  name: "Redis streams",
  role: "peer",
  promise:
    "XADD answered: stored; XACK: not delivered again; at least once; the stream keeps its entries (no XDEL)",
  atLeastOnce: true,
  client: `ioredis, pipelines of ${MANY} XADD, ${WINDOW} in flight; consumer: XREADGROUP COUNT ${READ}, one XACK for all`,
  abilities: { queue: true, shared: true, produceStyles: ["many", "send"] },
  runtimes: ["bun"],
  find: findRedis,
  start: startRedis,
  connect: async (target) => new StreamClient(target),
};

type Entries = [stream: Buffer, entries: [id: Buffer, fields: Buffer[]][]][];

class StreamClient implements Client {
  readonly #target: Target;
  #consumers = 0;

  constructor(target: Target) {
    this.#target = target;
  }

  async prepare({ topic }: OpenOptions): Promise<void> {
    const redis = await openRedis(this.#target);
    await redis.xgroup("CREATE", topic, GROUP, "0", "MKSTREAM");
    redis.disconnect();
  }

  async remove({ topic }: OpenOptions): Promise<void> {
    const redis = await openRedis(this.#target);
    await redis.del(topic);
    redis.disconnect();
  }

  async producer({ topic }: OpenOptions): Promise<BenchProducer> {
    const redis = await openRedis(this.#target);
    return {
      window: WINDOW,
      many: MANY,
      send: (bodies, seq) => redis.xadd(topic, "*", "b", asBuffer(bodies.bytes(seq))),
      sendMany(bodies, first, count) {
        const pipeline = redis.pipeline();
        for (let seq = first; seq < first + count; seq++)
          pipeline.xadd(topic, "*", "b", asBuffer(bodies.bytes(seq)));
        return pipeline.exec().then(requireAnswers);
      },
      close: async () => redis.disconnect(),
    };
  }

  async consumer({ topic }: OpenOptions): Promise<BenchConsumer> {
    const redis = await openRedis(this.#target);
    const name = `consumer-${this.#consumers++}`;
    return { consume: (sink) => readAll(redis, topic, name, sink), close: async () => redis.disconnect() };
  }

  async close(): Promise<void> {}
}

async function readAll(redis: Redis, topic: string, name: string, sink: Sink): Promise<void> {
  let acknowledged: Promise<unknown> = Promise.resolve();
  while (!sink.full) {
    const read = (await redis.xreadgroupBuffer(
      ...(["GROUP", GROUP, name, "COUNT", READ, "BLOCK", BLOCK_MS, "STREAMS", topic, ">"] as const),
    )) as Entries | null;
    const entries = read?.[0]?.[1] ?? [];
    for (const [, fields] of entries) sink.bytes(fields[1]!);
    if (entries.length > 0) acknowledged = redis.xack(topic, GROUP, ...entries.map(([id]) => id));
  }
  await acknowledged;
}
