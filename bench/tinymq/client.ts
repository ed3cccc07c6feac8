/** tinyMQ's client in a client process: the shipped module, used as its documentation shows. */
import type { ConsumedMessage, Consumer, Producer } from "../../src/index.ts";
import type { Bodies } from "../harness/bodies.ts";
import type { Sink } from "../harness/sink.ts";
import type { BenchConsumer, BenchProducer, Client, OpenOptions, Target } from "../harness/subject.ts";

type Library = typeof import("../../src/index.ts");

/** How long a poll waits, in ms, where no message is there yet. */
const POLL_WAIT_MS = 100;

export class TinymqClient implements Client {
  readonly #library: Library;
  readonly #target: Target;

  private constructor(library: Library, target: Target) {
    this.#library = library;
    this.#target = target;
  }

  static async load(target: Target): Promise<TinymqClient> {
    if (target.module === undefined) throw new Error("the client library's module is not named");
    return new TinymqClient((await import(target.module)) as Library, target);
  }

  async producer({ topic, fanOut }: OpenOptions): Promise<BenchProducer> {
    const { Producer, bytes } = this.#library;
    const { host, port } = this.#target;
    const delivery = fanOut ? "broadcast" : "queue";
    const producer = new Producer(host, port, topic, { codec: bytes, delivery });
    await producer.initConn();
    return new TinymqProducer(producer);
  }

  async consumer(options: OpenOptions): Promise<BenchConsumer> {
    const { Consumer, Subscriber, bytes } = this.#library;
    const { host, port } = this.#target;
    if (options.fanOut) {
      const subscriber = new Subscriber(host, port, options.topic, { codec: bytes });
      await subscriber.initConn();
      return {
        async consume(sink) {
          for await (const { body } of subscriber) if (sink.bytes(body)) break;
        },
        close: () => subscriber.close(),
      };
    }
    const mode = options.shared ? "shared" : "exclusive";
    const consumer = new Consumer(host, port, options.topic, { codec: bytes, mode });
    await consumer.initConn();
    return {
      consume: async (sink) => {
        // Only one of several shared consumers receives the last message: the others are closed.
        if (options.shared) void sink.done.then(() => consumer.close());
        if (options.consumeStyle === "poll") await pollAll(consumer, sink);
        else await loop(consumer, sink);
      },
      close: () => consumer.close(),
    };
  }

  async close(): Promise<void> {}
}

async function loop(consumer: AsyncIterable<ConsumedMessage<Uint8Array>>, sink: Sink): Promise<void> {
  for await (const message of consumer) {
    if (!sink.bytes(message.body)) continue;
    // Leaving the loop acknowledges nothing.
    message.ack();
    break;
  }
}

async function pollAll(consumer: Consumer<Uint8Array>, sink: Sink): Promise<void> {
  while (!sink.full) {
    const message = (await consumer.poll()) ?? (await consumer.poll({ wait: POLL_WAIT_MS }));
    if (message !== null) sink.bytes(message[1]);
  }
  consumer.ack();
}

class TinymqProducer implements BenchProducer {
  readonly window = 16_384;
  readonly many = 2_048;
  readonly #producer: Producer<Uint8Array>;

  constructor(producer: Producer<Uint8Array>) {
    this.#producer = producer;
  }

  send(bodies: Bodies, seq: number): Promise<void> {
    return this.#producer.send(bodies.bytes(seq), seq);
  }

  sendMany(bodies: Bodies, first: number, count: number): Promise<void> {
    const messages = Array.from({ length: count }, (_, index) => ({
      body: bodies.bytes(first + index),
      id: first + index,
    }));
    return this.#producer.sendBatch(messages);
  }

  close(): Promise<void> {
    return this.#producer.close();
  }
}
