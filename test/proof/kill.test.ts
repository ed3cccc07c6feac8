/**
 * Consumers that are killed with `kill -9` while they work. No message is lost; what is seen twice was never
 * acknowledged.
 *
 * 100 kills with `TINYMQ_PROOF=long`, 24 else.
 */
import { afterAll, expect, test } from "bun:test";
import { join } from "node:path";
import { adminClient, Consumer, Producer } from "../../src/index.ts";
import { ConsumerChild, endConsumers } from "./consumer-child.ts";
import type { ConsumerJob } from "./consumer-process.ts";
import { endServers, makeFolder, type ServerProcess, startServer } from "./server-process.ts";
import { LONG, newSeed, randomFrom, until } from "./until.ts";

afterAll(endServers);
afterAll(endConsumers);

const HOST = "127.0.0.1";
const KILLS = LONG ? 100 : 24;
const numbers = (from: number, to: number) => Array.from({ length: to - from }, (_, index) => from + index);

async function fill(port: number, topic: string, messages: number): Promise<void> {
  const producer = new Producer(HOST, port, topic);
  await producer.initConn();
  await producer.sendBatch(numbers(0, messages).map((id) => ({ id, body: `message ${id}` })));
  await producer.close();
}

/** Everything that is left. */
async function drain(port: number, topic: string): Promise<number[]> {
  const consumer = new Consumer(HOST, port, topic);
  await consumer.initConn();
  const ids: number[] = [];
  for (let next = await consumer.poll({ wait: 200 }); next !== null; next = await consumer.poll())
    ids.push(next[0]);
  await consumer.close();
  return ids;
}

/** Keeps topics from running empty while the consumers are killed. */
class Feeder {
  readonly sent = new Map<string, number>();
  #stopped = false;

  constructor(topics: readonly string[]) {
    for (const topic of topics) this.sent.set(topic, 0);
  }

  async run(server: ServerProcess): Promise<void> {
    const producers = [...this.sent.keys()].map(
      (topic) => [topic, new Producer(HOST, server.port, topic)] as const,
    );
    for (const [, producer] of producers) await producer.initConn();
    while (!this.#stopped) {
      for (const [topic, producer] of producers) {
        const { topics } = await adminClient(HOST, server.port).listTopics({
          prefix: topic,
          limit: 1,
          after: "",
        }).response;
        if ((topics[0]?.ready ?? 0) > 1_000) continue;
        const from = this.sent.get(topic)!;
        await producer.sendBatch(numbers(from, from + 1_000).map((id) => ({ id, body: `message ${id}` })));
        this.sent.set(topic, from + 1_000);
      }
      await Bun.sleep(2);
    }
    for (const [, producer] of producers) await producer.close();
  }

  stop(): void {
    this.#stopped = true;
  }
}

interface Pool {
  readonly job: Omit<ConsumerJob, "file">;
  readonly size: number;
}

/** Kills random consumers of pools until there were enough; resolves with all consumers there were. */
async function killAtRandom(
  server: ServerProcess,
  pools: Pool[],
  random: () => number,
  stopFeeding: () => Promise<void>,
): Promise<ConsumerChild[]> {
  const folder = makeFolder();
  const all: ConsumerChild[] = [];
  const start = (job: Omit<ConsumerJob, "file">) => {
    const child = new ConsumerChild({ ...job, port: server.port, file: join(folder, String(all.length)) });
    all.push(child);
    return child;
  };
  const running = pools.flatMap(({ job, size }) => numbers(0, size).map(() => start(job)));
  for (let kills = 0; kills < KILLS; kills++) {
    const index = Math.floor(random() * running.length);
    const victim = running[index]!;
    // Not before it works, or stands in line.
    await until("a consumer that is open", () => victim.lines().length > 0, 20_000);
    await Bun.sleep(random() * 20);
    await victim.kill();
    running[index] = start(victim.job);
  }
  await stopFeeding();
  await until("the end of all work", async () => (await server.status()).messages === 0, 120_000);
  for (const child of running) await child.kill();
  return all;
}

test("kill -9 of random consumers: none lost, what is seen twice was never acknowledged", async () => {
  const seed = newSeed();
  const server = await startServer();
  const topics = ["ordered", "shared", "prefetched"];
  const feeder = new Feeder(topics);
  const fed = feeder.run(server);
  const begun = performance.now();
  const all = await killAtRandom(
    server,
    [
      { size: 2, job: { port: 0, topic: "ordered", mode: "standby", way: "one-by-one" } },
      { size: 2, job: { port: 0, topic: "shared", mode: "shared", way: "one-by-one" } },
      { size: 2, job: { port: 0, topic: "prefetched", mode: "shared", way: "loop" } },
    ],
    randomFrom(seed),
    async () => {
      feeder.stop();
      await fed;
    },
  );
  const seconds = (performance.now() - begun) / 1000;
  const { counters } = await server.status();
  let twice = 0;
  for (const topic of topics) {
    const children = all.filter((child) => child.job.topic === topic);
    const messages = feeder.sent.get(topic)!;
    const seen = children.flatMap((child) => child.ids("seen"));
    const told = children.flatMap((child) => child.ids("told"));
    twice += seen.length - new Set(seen).size;
    // None lost.
    expect([...new Set(seen)].sort((one, other) => one - other)).toEqual(numbers(0, messages));
    // Nothing that the server was told of came again: its acknowledgement is the last word.
    expect(told.length).toBe(new Set(told).size);
    const toldAt = new Map(
      children.flatMap((child) => child.notes("told").map(({ id, time }) => [id, time])),
    );
    const sights = children.flatMap((child) => child.notes("seen"));
    expect(sights.filter(({ id, time }) => time > (toldAt.get(id) ?? Number.POSITIVE_INFINITY))).toEqual([]);
  }
  // One holder at a time, each beginning where the last one was: first sights are in order.
  const holders = all.filter((child) => child.job.topic === "ordered");
  const firstSeen = holders.map((child) => child.ids("seen")).filter((ids) => ids.length > 0);
  for (const ids of firstSeen) expect(ids).toEqual(numbers(ids[0]!, ids[0]! + ids.length));
  const messages = [...feeder.sent.values()].reduce((sum, sent) => sum + sent, 0);
  expect(counters?.acked).toBe(messages);
  // Or nobody was killed while it worked.
  expect(twice).toBeGreaterThan(0);
  console.log(
    `seed ${seed}: ${KILLS} kills, ${all.length} processes, ${messages} messages, ` +
      `${twice} seen twice, ${seconds.toFixed(1)} s`,
  );
}, 300_000);

test("1,000 of 10,000 polled, 999 acknowledged, kill -9: the next consumer gets the rest from the 1,000th on", async () => {
  const server = await startServer();
  await fill(server.port, "rest", 10_000);
  const file = join(makeFolder(), "consumer");
  const child = new ConsumerChild({
    port: server.port,
    topic: "rest",
    mode: "exclusive",
    way: "hold",
    count: 1_000,
    ack: 999,
    file,
  });
  await child.wrote("held");
  await until("999 acknowledgements", async () => (await server.status()).counters?.acked === 999);
  expect(child.ids("seen")).toEqual(numbers(0, 1_000));
  await child.kill();
  await until("the end of its connection", async () => (await server.status()).connections === 0);
  expect(await drain(server.port, "rest")).toEqual(numbers(999, 10_000));
}, 60_000);

test("SIGSTOP of a holder: a standby takes over at the first unsettled message, and SIGCONT changes nothing", async () => {
  const server = await startServer({ heartbeat: 100 });
  await fill(server.port, "frozen", 20);
  const file = join(makeFolder(), "consumer");
  const job = {
    port: server.port,
    topic: "frozen",
    mode: "exclusive",
    way: "hold",
    count: 10,
    ack: 5,
    file,
  } as const;
  const child = new ConsumerChild(job);
  await child.wrote("held");
  await until("five acknowledgements", async () => (await server.status()).counters?.acked === 5);
  const standby = new Consumer(HOST, server.port, "frozen", { mode: "standby", autoAck: false, prefetch: 1 });
  await standby.initConn();

  child.signal("SIGSTOP");
  const begun = performance.now();
  const first = await standby.poll({ wait: 10_000 });
  const took = performance.now() - begun;
  console.log(`SIGSTOP: the standby took over after ${Math.round(took)} ms (300 ms set)`);
  expect(first?.[0]).toBe(5);
  expect(took).toBeLessThan(300 + 2_000);

  // It wakes up and acknowledges all ten.
  await Bun.write(`${file}.ack`, "");
  child.signal("SIGCONT");
  await child.wrote("DeadConnectionUsed");
  expect((await server.status()).counters?.acked).toBe(5);
  await child.kill();
  await standby.close();
  expect(await drain(server.port, "frozen")).toEqual(numbers(5, 20));
}, 60_000);
