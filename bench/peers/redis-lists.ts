/**
 * Redis lists as a reliable queue, and Redis's publish and subscribe for the fan-out: LPUSH; LMOVE to a list
 * of the consumer's own; LREM once it is handled (source: the Redis documentation, LMOVE, "Pattern:
 * Reliable queue").
 */
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
const BLOCK_SECONDS = 0.05;

export const redisLists: Subject = {
  key: "redis-lists",
  name: "Redis lists",
  role: "peer",
  promise:
    "LPUSH answered: stored; LMOVE to a list of the consumer's, LREM after handling; fan-out: PUBLISH, at most once",
  atLeastOnce: true,
  client: `ioredis, pipelines of ${MANY} commands, ${WINDOW} in flight; consumer: the next LMOVEs with the last LREMs`,
  abilities: { queue: true, shared: true, fanOut: true, produceStyles: ["many", "send"] },
  runtimes: ["bun"],
  find: findRedis,
  start: startRedis,
  connect: async (target) => new ListClient(target),
};

class ListClient implements Client {
  readonly #target: Target;
  #consumers = 0;

  constructor(target: Target) {
    this.#target = target;
  }

  async producer({ topic, fanOut }: OpenOptions): Promise<BenchProducer> {
    const redis = await openRedis(this.#target);
    const command = fanOut ? "publish" : "lpush";
    return {
      window: WINDOW,
      many: MANY,
      send: (bodies, seq) => redis[command](topic, asBuffer(bodies.bytes(seq))),
      sendMany(bodies, first, count) {
        const pipeline = redis.pipeline();
        for (let seq = first; seq < first + count; seq++)
          pipeline[command](topic, asBuffer(bodies.bytes(seq)));
        return pipeline.exec().then(requireAnswers);
      },
      close: async () => redis.disconnect(),
    };
  }

  async consumer({ topic, fanOut }: OpenOptions): Promise<BenchConsumer> {
    const redis = await openRedis(this.#target);
    const own = `${topic}-taken-${this.#consumers++}`;
    if (fanOut) await redis.subscribe(topic);
    return {
      consume: (sink) => (fanOut ? receive(redis, sink) : takeAll(redis, topic, own, sink)),
      close: async () => redis.disconnect(),
    };
  }

  async remove({ topic }: OpenOptions): Promise<void> {
    const redis = await openRedis(this.#target);
    await redis.del(topic);
    redis.disconnect();
  }

  async close(): Promise<void> {}
}

async function receive(redis: Redis, sink: Sink): Promise<void> {
  redis.on("messageBuffer", (_channel: Buffer, body: Buffer) => void sink.bytes(body));
  await sink.done;
}

/** Each pipeline acknowledges what the one before took, and takes more. */
async function takeAll(redis: Redis, topic: string, own: string, sink: Sink): Promise<void> {
  let handled: Buffer[] = [];
  while (!sink.full || handled.length > 0) {
    const pipeline = redis.pipeline();
    for (const body of handled) pipeline.lrem(own, -1, body);
    if (!sink.full) for (let one = 0; one < MANY; one++) pipeline.lmoveBuffer(topic, own, "RIGHT", "LEFT");
    const answers = requireAnswers(await pipeline.exec());
    const bodies = answers.slice(handled.length).filter((body) => body !== null) as Buffer[];
    if (bodies.length === 0 && !sink.full) {
      const body = await redis.blmoveBuffer(topic, own, "RIGHT", "LEFT", BLOCK_SECONDS);
      if (body !== null) bodies.push(body);
    }
    for (const body of bodies) sink.bytes(body);
    handled = bodies;
  }
}
