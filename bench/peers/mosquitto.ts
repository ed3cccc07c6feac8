/** Mosquitto with MQTT 5 and QoS 1: publish acknowledged by the broker, delivery by the subscriber. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { MqttClient } from "mqtt";
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
import { debianProgram } from "./debian.ts";

const WINDOW = 1_000;
const RECEIVE_MAXIMUM = 65_535;
const SESSION_SECONDS = 600;

export const mosquitto: Subject = {
  key: "mosquitto",
  name: "Mosquitto (QoS 1)",
  role: "peer",
  promise:
    "PUBACK of the broker; PUBACK of the subscriber; at least once, to sessions that subscribed before",
  atLeastOnce: true,
  client: `mqtt (MQTT 5), ${WINDOW} in flight; backlog in a session that is kept; shared: $share`,
  abilities: { queue: true, shared: true, fanOut: true },
  runtimes: ["bun"],
  find: () => debianProgram(["mosquitto", "-h"], "mosquitto"),
  start,
  async connect(target) {
    const { connect } = await import("mqtt");
    return new MosquittoClient((session) =>
      connect({
        host: target.host,
        port: target.port,
        protocolVersion: 5,
        reconnectPeriod: 0,
        clientId: session,
        clean: session === undefined,
        properties: {
          receiveMaximum: RECEIVE_MAXIMUM,
          sessionExpiryInterval: session === undefined ? 0 : SESSION_SECONDS,
        },
      }),
    );
  },
};

async function start(): Promise<RunningServer> {
  const port = await freePort();
  const folder = temporaryFolder();
  const settings = [
    "allow_anonymous true",
    "persistence false",
    "max_inflight_messages 0",
    "max_queued_messages 0",
    "set_tcp_nodelay true",
  ];
  const file = join(folder.path, "mosquitto.conf");
  // Started as root it changes to another user, who cannot read the folder.
  const user = process.getuid?.() === 0 ? ["user root"] : [];
  writeFileSync(file, `${[`listener ${port} ${HOST}`, ...settings, ...user].join("\n")}\n`);
  const server = new ServerProcess(["mosquitto", "-c", file]);
  await server.listens(port);
  return {
    port,
    pids: [server.pid],
    command: "mosquitto -c FILE",
    settings: settings.join("; "),
    async stop() {
      await server.stop();
      folder.remove();
    },
  };
}

/** Not yet connected. */
type Open = (session?: string) => MqttClient;

class MosquittoClient implements Client {
  readonly #open: Open;

  constructor(open: Open) {
    this.#open = open;
  }

  /** Only a session that has subscribed receives what is published while it is away. */
  async prepare({ topic, fanOut, shared }: OpenOptions): Promise<void> {
    if (fanOut || shared) return;
    const client = await connected(this.#open(`session-${topic}`));
    await client.subscribeAsync(topic, { qos: 1 });
    await client.endAsync();
  }

  async producer({ topic }: OpenOptions): Promise<BenchProducer> {
    const client = await connected(this.#open());
    return {
      window: WINDOW,
      send: (bodies: Bodies, seq: number) =>
        new Promise<void>((resolve, reject) => {
          const { buffer, byteOffset, byteLength } = bodies.bytes(seq);
          client.publish(topic, Buffer.from(buffer, byteOffset, byteLength), { qos: 1 }, (error) =>
            error ? reject(error) : resolve(),
          );
        }),
      close: async () => void (await client.endAsync()),
    };
  }

  async consumer({ topic, fanOut, shared }: OpenOptions): Promise<BenchConsumer> {
    const alone = !fanOut && !shared;
    // What waits in the session arrives as soon as it is connected.
    const early: Uint8Array[] = [];
    let take = (body: Uint8Array): void => void early.push(body);
    const client = this.#open(alone ? `session-${topic}` : undefined);
    client.on("message", (_topic, body) => take(body));
    await connected(client);
    if (!alone) await client.subscribeAsync(shared ? `$share/bench/${topic}` : topic, { qos: 1 });
    return {
      async consume(sink) {
        for (const body of early) sink.bytes(body);
        take = (body) => void sink.bytes(body);
        await sink.done;
      },
      close: async () => void (await client.endAsync()),
    };
  }

  async close(): Promise<void> {}
}

function connected(client: MqttClient): Promise<MqttClient> {
  return new Promise((resolve, reject) => {
    client.once("connect", () => resolve(client));
    client.once("error", reject);
  });
}
