/** Core NATS: publish and subscribe, nothing stored, nothing acknowledged. */
import type { NatsConnection } from "@nats-io/transport-node";
import type { Bodies } from "../harness/bodies.ts";
import type { BenchConsumer, BenchProducer, Client, OpenOptions, Subject } from "../harness/subject.ts";
import { findNats, startNats } from "./nats-server.ts";

export const natsCore: Subject = {
  key: "nats-core",
  name: "core NATS",
  role: "peer",
  promise: "at most once: a flush says that the server has read it, nothing that anyone got it",
  client: "@nats-io/transport-node; awaited and pipelined sends end in flush(), which waits for PONG",
  abilities: { shared: true, fanOut: true, lossy: true },
  runtimes: ["bun"],
  find: findNats,
  start: () => startNats(false),
  async connect(target) {
    const { connect } = await import("@nats-io/transport-node");
    return new NatsClient(() => connect({ servers: `${target.host}:${target.port}` }));
  },
};

class NatsClient implements Client {
  readonly #connect: () => Promise<NatsConnection>;

  constructor(connect: () => Promise<NatsConnection>) {
    this.#connect = connect;
  }

  async producer({ topic }: OpenOptions): Promise<BenchProducer> {
    return new NatsProducer(await this.#connect(), topic);
  }

  async consumer({ topic, shared }: OpenOptions): Promise<BenchConsumer> {
    const connection = await this.#connect();
    let take: (body: Uint8Array) => void = () => {};
    connection.subscribe(topic, {
      queue: shared ? "shared" : undefined,
      callback: (_error, message) => take(message.data),
    });
    // So that the server has the subscription before the first message is sent.
    await connection.flush();
    return {
      async consume(sink) {
        take = (body) => void sink.bytes(body);
        await sink.done;
      },
      close: () => connection.close(),
    };
  }

  async close(): Promise<void> {}
}

/** Publishes of one turn share a flush, whose answer counts as their acknowledgement. */
class NatsProducer implements BenchProducer {
  readonly window = 16_384;
  readonly #connection: NatsConnection;
  readonly #topic: string;
  #flushed: Promise<void> | undefined;

  constructor(connection: NatsConnection, topic: string) {
    this.#connection = connection;
    this.#topic = topic;
  }

  send(bodies: Bodies, seq: number): Promise<void> {
    this.#connection.publish(this.#topic, bodies.bytes(seq));
    this.#flushed ??= Promise.resolve().then(() => {
      this.#flushed = undefined;
      return this.#connection.flush();
    });
    return this.#flushed;
  }

  close(): Promise<void> {
    return this.#connection.close();
  }
}
