/** SIGTERM, restarts with and without a snapshot, and SIGKILL of the server, with clients at full speed. */
import { afterAll, describe, expect, test } from "bun:test";
import { join } from "node:path";
import { type ConnectionState, Consumer, Producer, type TinyMQError } from "../../src/index.ts";
import type { ServerOptions } from "../../src/server/index.ts";
import { ConsumerChild, endConsumers } from "./consumer-child.ts";
import { FaultProxy } from "./proxy.ts";
import { endServers, makeFolder, type ServerProcess, startServer } from "./server-process.ts";
import { until } from "./until.ts";

afterAll(endServers);
afterAll(endConsumers);

const HOST = "127.0.0.1";
const RECONNECT = { minDelay: 1, maxDelay: 20, initial: true };
/** A stop takes no longer than this, in ms: the time of grace, and what two busy cores may be late. */
const STOP_LIMIT = 4_000;
const numbers = (from: number, to: number) => Array.from({ length: to - from }, (_, index) => from + index);

/** Sends ids in order, a hundred a tick, until it is told to end. */
class SteadyProducer {
  readonly producer: Producer;
  readonly acknowledged: number[] = [];
  readonly failed: TinyMQError[] = [];
  sent = 0;
  #ended = false;

  constructor(port: number, topic: string, reconnect: boolean) {
    this.producer = new Producer(HOST, port, topic, { reconnect: reconnect && RECONNECT });
  }

  async run(): Promise<void> {
    await this.producer.initConn();
    while (!this.#ended && this.producer.state !== "closed") {
      for (let each = 0; each < 100; each++) this.#send(this.sent++);
      await until(
        "room",
        () => this.producer.unacknowledgedBytes < 50_000 || this.producer.state === "closed",
        30_000,
      );
    }
    await until("all answers", () => this.acknowledged.length + this.failed.length === this.sent, 30_000);
    await this.producer.close();
  }

  end(): void {
    this.#ended = true;
  }

  #send(id: number): void {
    this.producer.send(`message ${id}`, id).then(
      () => this.acknowledged.push(id),
      (error) => this.failed.push(error),
    );
  }
}

async function drain(port: number, topic: string): Promise<number[]> {
  const consumer = new Consumer(HOST, port, topic);
  await consumer.initConn();
  const ids: number[] = [];
  for (let next = await consumer.poll({ wait: 200 }); next !== null; next = await consumer.poll())
    ids.push(next[0]);
  await consumer.close();
  return ids;
}

describe("SIGTERM", () => {
  test("sends the acknowledgements that are due, closes with 1012, and exits with 0", async () => {
    const folder = makeFolder();
    const options: ServerOptions = { snapshot: join(folder, "queue") };
    const server = await startServer(options, folder);
    const steady = new SteadyProducer(server.port, "sigterm", false);
    const states: [ConnectionState, string | undefined][] = [];
    const consumer = new Consumer(HOST, server.port, "other", {
      onStateChange: (state, error) => states.push([state, error?.message]),
    });
    await consumer.initConn();
    const running = steady.run();
    await until("some thousands", () => steady.acknowledged.length > 5_000);
    const stopped = await server.stop();
    expect(stopped.code).toBe(0);
    expect(stopped.ms).toBeLessThan(STOP_LIMIT);
    await running;
    expect(states.at(-1)).toEqual(["closed", expect.stringContaining("close code 1012")]);
    // Nobody gets in any more.
    const late = new Producer(HOST, server.port, "late");
    expect(await late.initConn().catch((error) => error.name)).toBe("ConnectionRefusedError");

    const next = await startServer(options, folder);
    const stored = await drain(next.port, "sigterm");
    const [first, last] = [stored[0], stored.at(-1)];
    console.log(
      `stopped in ${Math.round(stopped.ms)} ms: ${steady.acknowledged.length} acknowledged, ${stored.length} stored`,
    );
    expect(first).toBe(0);
    expect(stored).toEqual(numbers(0, last! + 1));
    // Acknowledged and stored are the same: what is stored was acknowledged before the end.
    expect(steady.acknowledged).toEqual(numbers(0, steady.acknowledged.length));
    expect(stored.length).toBe(steady.acknowledged.length);
    await consumer.close();
  }, 60_000);

  test("ends in time although clients are frozen", async () => {
    const server = await startServer();
    const filler = new Producer(HOST, server.port, "frozen");
    await filler.initConn();
    await filler.sendBatch(numbers(0, 2_000).map((id) => ({ id, body: "x".repeat(10_000) })));
    await filler.close();
    const children = [1, 2, 3].map(
      (each) =>
        new ConsumerChild({
          port: server.port,
          topic: "frozen",
          mode: "shared",
          way: "loop",
          file: join(makeFolder(), String(each)),
        }),
    );
    for (const child of children) {
      await until("a consumer at work", () => child.lines().length > 1);
      child.signal("SIGSTOP");
    }
    const { code, ms } = await server.stop();
    console.log(`with three frozen clients: stopped in ${Math.round(ms)} ms`);
    expect(code).toBe(0);
    expect(ms).toBeLessThan(STOP_LIMIT);
  }, 60_000);
});

/** Restarts the server three times under a producer with reconnect; `end` ends the server. */
async function restarts(
  options: (folder: string) => ServerOptions,
  end: (server: ServerProcess) => Promise<unknown>,
): Promise<{ steady: SteadyProducer; stored: number[][] }> {
  const folder = makeFolder();
  let server = await startServer(options(folder), folder);
  await using proxy = await FaultProxy.to(() => server.port);
  const steady = new SteadyProducer(proxy.port, "restarts", true);
  const running = steady.run();
  const stored: number[][] = [];
  for (let restart = 0; restart < 3; restart++) {
    const before = steady.acknowledged.length;
    await until("some thousands more", () => steady.acknowledged.length > before + 3_000, 20_000);
    await end(server);
    server = await startServer(options(folder), folder);
  }
  const before = steady.acknowledged.length;
  await until("the producer to go on", () => steady.acknowledged.length > before + 3_000, 20_000);
  steady.end();
  await running;
  stored.push(await drain(server.port, "restarts"));
  return { steady, stored };
}

describe("a producer with reconnect", () => {
  test("survives restarts with a snapshot: nothing is lost, nothing stored twice", async () => {
    const { steady, stored } = await restarts(
      (folder) => ({ snapshot: join(folder, "queue") }),
      (server) => server.stop(),
    );
    console.log(`three restarts with a snapshot: ${steady.sent} messages`);
    expect(steady.failed).toEqual([]);
    expect(steady.acknowledged).toEqual(numbers(0, steady.sent));
    expect(stored[0]).toEqual(numbers(0, steady.sent));
  }, 90_000);

  test("survives restarts without a snapshot: what was not acknowledged is sent again", async () => {
    const { steady, stored } = await restarts(
      () => ({}),
      (server) => server.stop(),
    );
    expect(steady.failed).toEqual([]);
    expect(steady.acknowledged).toEqual(numbers(0, steady.sent));
    // What the last server holds is the end of what was sent, in order, without a gap or a copy.
    const last = stored[0]!;
    expect(last).toEqual(numbers(last[0]!, steady.sent));
  }, 90_000);

  test("survives kill -9 of the server: what was not acknowledged is sent again, what was is lost", async () => {
    const { steady, stored } = await restarts(
      () => ({}),
      (server) => {
        process.kill(server.pid, "SIGKILL");
        return server.ended();
      },
    );
    expect(steady.failed).toEqual([]);
    expect(steady.acknowledged).toEqual(numbers(0, steady.sent));
    const last = stored[0]!;
    expect(last).toEqual(numbers(last[0]!, steady.sent));
    expect(last.length).toBeLessThan(steady.sent);
  }, 90_000);
});
