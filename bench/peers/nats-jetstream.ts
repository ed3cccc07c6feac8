/** NATS JetStream with memory storage: a work queue, every message acknowledged both ways. */
import type { JetStreamClient, JetStreamManager } from "@nats-io/jetstream";
import type { NatsConnection } from "@nats-io/transport-node";
import type { Bodies } from "../harness/bodies.ts";
import type { BenchConsumer, BenchProducer, Client, OpenOptions, Subject } from "../harness/subject.ts";
import { findNats, startNats } from "./nats-server.ts";

/** Unacknowledged publishes; the documentation of asynchronous publishing suggests thousands. */
const WINDOW = 4_096;
/** Messages that a consumer asks for at once. */
const PULLED = 2_000;
const MAX_ACK_PENDING = 20_000;
const GIB = 1_024 ** 3;

export const natsJetstream: Subject = {
  key: "nats-jetstream",
  name: "NATS JetStream (memory)",
  role: "peer",
  promise: "publish acknowledged: stored in memory; explicit acknowledgement; at least once",
  atLeastOnce: true,
  client:
    `@nats-io/jetstream; asynchronous publish, ${WINDOW} in flight; consume() of ${PULLED}, ack() each, ` +
    `max_ack_pending ${MAX_ACK_PENDING}, retention workqueue`,
  abilities: { queue: true, shared: true },
  runtimes: ["bun"],
  find: findNats,
  start: () => startNats(true),
  async connect(target) {
    const { connect } = await import("@nats-io/transport-node");
    const { jetstream, jetstreamManager } = await import("@nats-io/jetstream");
    const open = () => connect({ servers: `${target.host}:${target.port}` });
    const connection = await open();
    return new JetstreamClient(open, connection, await jetstreamManager(connection), jetstream);
  },
};

type OpenJetstream = (connection: NatsConnection) => JetStreamClient;

class JetstreamClient implements Client {
  readonly #open: () => Promise<NatsConnection>;
  readonly #connection: NatsConnection;
  readonly #manager: JetStreamManager;
  readonly #jetstream: OpenJetstream;

  constructor(
    open: () => Promise<NatsConnection>,
    connection: NatsConnection,
    manager: JetStreamManager,
    jetstream: OpenJetstream,
  ) {
    this.#open = open;
    this.#connection = connection;
    this.#manager = manager;
    this.#jetstream = jetstream;
  }

  async prepare({ topic }: OpenOptions): Promise<void> {
    await this.#manager.streams.add({
      name: topic,
      subjects: [topic],
      storage: "memory",
      retention: "workqueue",
      max_bytes: 4 * GIB,
    });
    await this.#manager.consumers.add(topic, {
      durable_name: "bench",
      ack_policy: "explicit",
      max_ack_pending: MAX_ACK_PENDING,
      mem_storage: true,
    });
  }

  async remove({ topic }: OpenOptions): Promise<void> {
    await this.#manager.streams.delete(topic);
  }

  async producer({ topic }: OpenOptions): Promise<BenchProducer> {
    const connection = await this.#open();
    const client = this.#jetstream(connection);
    return {
      window: WINDOW,
      send: (bodies: Bodies, seq: number) => client.publish(topic, bodies.bytes(seq)),
      close: () => connection.close(),
    };
  }

  async consumer({ topic, size }: OpenOptions): Promise<BenchConsumer> {
    const connection = await this.#open();
    const consumer = await this.#jetstream(connection).consumers.get(topic, "bench");
    return {
      async consume(sink) {
        const messages = await consumer.consume({
          max_messages: Math.max(16, Math.min(PULLED, Math.floor((8 * 1_024 * 1_024) / size))),
          callback: (message) => {
            sink.bytes(message.data);
            message.ack();
          },
        });
        await sink.done;
        messages.stop();
        await connection.flush();
      },
      close: () => connection.close(),
    };
  }

  close(): Promise<void> {
    return this.#connection.close();
  }
}
