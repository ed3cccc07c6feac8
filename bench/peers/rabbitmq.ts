/** RabbitMQ: publisher confirms and consumer acknowledgements, transient messages in classic queues. */
import type { ChannelModel } from "amqplib";
import type { Bodies } from "../harness/bodies.ts";
import { childOf, freePort, HOST, ServerProcess, temporaryFolder } from "../harness/server-process.ts";
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

const SCRIPT = "/usr/lib/rabbitmq/bin/rabbitmq-server";
const WINDOW = 2_000;
const PREFETCH = 2_000;
/** One acknowledgement for so many deliveries (`multiple`). */
const ACKED_TOGETHER = 100;

export const rabbitmq: Subject = {
  key: "rabbitmq",
  name: "RabbitMQ",
  role: "peer",
  promise: "publish confirmed: in the queue (transient); consumer acknowledgement; at least once",
  atLeastOnce: true,
  client:
    `amqplib, confirm channel, ${WINDOW} in flight; prefetch ${PREFETCH}, acknowledged ${ACKED_TOGETHER} at a time; ` +
    "fan-out: fanout exchange, one exclusive queue a subscriber, no acknowledgements",
  abilities: { queue: true, shared: true, fanOut: true },
  runtimes: ["bun"],
  find: () => debianProgram(["dpkg-query", "-W", "rabbitmq-server"], "rabbitmq-server").then(withProgram),
  start,
  async connect(target) {
    const { connect } = await import("amqplib");
    return new RabbitClient(target, (url) => connect(url, { noDelay: true }));
  },
};

async function withProgram(found: { version: string } | { missing: string }) {
  return (await Bun.file(SCRIPT).exists()) ? found : { missing: "apt-get install rabbitmq-server" };
}

/** The port mapper of Erlang runs as our own child: the one that RabbitMQ starts would outlive it. */
async function start(): Promise<RunningServer> {
  const [port, mapperPort, nodePort] = [await freePort(), await freePort(), await freePort()];
  const folder = temporaryFolder();
  const shared = { ERL_EPMD_PORT: String(mapperPort), ERL_EPMD_ADDRESS: HOST, HOME: folder.path };
  const mapper = new ServerProcess(["epmd", "-port", String(mapperPort), "-address", HOST], { env: shared });
  await mapper.listens(mapperPort);
  const server = new ServerProcess([SCRIPT], { cwd: folder.path, env: { ...shared, ...environment() } });
  const stop = async (): Promise<void> => {
    await server.stop();
    await mapper.stop();
    folder.remove();
  };
  try {
    await server.listens(port);
  } catch (error) {
    await stop();
    throw error;
  }
  const pids = [childOf(server.pid, "beam.smp")];
  return { port, pids, command: "rabbitmq-server", settings: "its defaults, in an empty folder", stop };

  function environment(): Record<string, string> {
    return {
      RABBITMQ_NODENAME: `bench${port}@localhost`,
      RABBITMQ_NODE_IP_ADDRESS: HOST,
      RABBITMQ_NODE_PORT: String(port),
      RABBITMQ_DIST_PORT: String(nodePort),
      RABBITMQ_MNESIA_BASE: `${folder.path}/data`,
      RABBITMQ_LOG_BASE: `${folder.path}/log`,
      RABBITMQ_ENABLED_PLUGINS_FILE: `${folder.path}/plugins`,
      RABBITMQ_CONF_ENV_FILE: `${folder.path}/none`,
      RABBITMQ_CONFIG_FILE: `${folder.path}/none`,
      RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS: "-kernel inet_dist_use_interface {127,0,0,1}",
    };
  }
}

class RabbitClient implements Client {
  readonly #url: string;
  readonly #connect: (url: string) => Promise<ChannelModel>;

  constructor(target: Target, connect: (url: string) => Promise<ChannelModel>) {
    this.#url = `amqp://guest:guest@${target.host}:${target.port}`;
    this.#connect = connect;
  }

  async prepare({ topic, fanOut }: OpenOptions): Promise<void> {
    await this.#once(async (channel) => {
      if (fanOut) await channel.assertExchange(topic, "fanout", { durable: false });
      else await channel.assertQueue(topic, { durable: false });
    });
  }

  async remove({ topic, fanOut }: OpenOptions): Promise<void> {
    await this.#once(async (channel) => {
      if (fanOut) await channel.deleteExchange(topic);
      else await channel.deleteQueue(topic);
    });
  }

  async producer({ topic, fanOut }: OpenOptions): Promise<BenchProducer> {
    const connection = await this.#connect(this.#url);
    const channel = await connection.createConfirmChannel();
    const [exchange, key] = fanOut ? [topic, ""] : ["", topic];
    return {
      window: WINDOW,
      send: (bodies: Bodies, seq: number) =>
        new Promise<void>((resolve, reject) => {
          const { buffer, byteOffset, byteLength } = bodies.bytes(seq);
          channel.publish(exchange, key, Buffer.from(buffer, byteOffset, byteLength), {}, (error) =>
            error ? reject(error) : resolve(),
          );
        }),
      close: () => connection.close(),
    };
  }

  async consumer({ topic, fanOut }: OpenOptions): Promise<BenchConsumer> {
    const connection = await this.#connect(this.#url);
    const channel = await connection.createChannel();
    await channel.prefetch(PREFETCH);
    const queue = fanOut ? (await channel.assertQueue("", { exclusive: true, durable: false })).queue : topic;
    if (fanOut) await channel.bindQueue(queue, topic, "");
    return {
      async consume(sink) {
        let waiting = 0;
        await channel.consume(
          queue,
          (message) => {
            if (message === null) return;
            const full = sink.bytes(message.content);
            waiting += 1;
            if (fanOut || (waiting < ACKED_TOGETHER && !full && sink.received % ACKED_TOGETHER !== 0)) return;
            channel.ack(message, true);
            waiting = 0;
          },
          { noAck: fanOut },
        );
        await sink.done;
      },
      close: () => connection.close(),
    };
  }

  async close(): Promise<void> {}

  async #once(
    work: (channel: Awaited<ReturnType<ChannelModel["createChannel"]>>) => Promise<void>,
  ): Promise<void> {
    const connection = await this.#connect(this.#url);
    await work(await connection.createChannel());
    await connection.close();
  }
}
