/** Networks that go silent without closing, slow ones, and consumers that are frozen: noticed in time. */
import { describe, expect, test } from "bun:test";
import { Consumer, Producer } from "../../src/index.ts";
import { TinyMQServer } from "../../src/server/index.ts";
import { FaultProxy } from "./proxy.ts";
import { until, within } from "./until.ts";

const HOST = "127.0.0.1";
const HEARTBEAT = 100;
/** A dead link is given up after this, in ms; the rest is what two busy cores may be late. */
const DEAD_AFTER = 3 * HEARTBEAT;
const LATE = 2_000;

async function serve(): Promise<{ server: TinyMQServer; proxy: FaultProxy } & AsyncDisposable> {
  const server = new TinyMQServer({ heartbeat: HEARTBEAT });
  await server.start(HOST, 0);
  const proxy = await FaultProxy.to(() => server.port);
  return {
    server,
    proxy,
    async [Symbol.asyncDispose]() {
      await proxy[Symbol.asyncDispose]();
      await server.stop();
    },
  };
}

async function fill(port: number, topic: string, messages: number): Promise<void> {
  const producer = new Producer(HOST, port, topic);
  await producer.initConn();
  await producer.sendBatch(Array.from({ length: messages }, (_, id) => ({ id, body: `message ${id}` })));
  await producer.close();
}

async function take(consumer: Consumer, messages: number): Promise<number[]> {
  const ids: number[] = [];
  while (ids.length < messages) {
    const next = await consumer.poll({ wait: 5_000 });
    if (next === null) throw new Error(`nothing came behind ${ids}`);
    ids.push(next[0]);
  }
  return ids;
}

describe("a half-open link", () => {
  test("of a holder: its standby takes over at the first unsettled message, late acknowledgements change nothing", async () => {
    await using parts = await serve();
    const { server, proxy } = parts;
    await fill(server.port, "half-open", 10);
    const holder = new Consumer(HOST, proxy.port, "half-open", { autoAck: false });
    await holder.initConn();
    expect(await take(holder, 4)).toEqual([0, 1, 2, 3]);
    // Told with the pull, and so before what it answers.
    holder.ack();
    expect(await take(holder, 2)).toEqual([4, 5]);
    const standby = new Consumer(HOST, server.port, "half-open", { mode: "standby" });
    await standby.initConn();
    expect(standby.state).toBe("standby");
    const counters = () => fetchCounters(server.port, "half-open");
    await until("the acknowledgement of the first four", async () => (await counters()).acked === 4);

    const link = proxy.last;
    link.freeze();
    const begun = performance.now();
    // What the holder does now is told to nobody.
    holder.ack();
    expect(await within("the take-over", DEAD_AFTER + LATE, take(standby, 1))).toEqual([4]);
    const took = performance.now() - begun;
    console.log(
      `half-open holder: its standby took over after ${Math.round(took)} ms (${DEAD_AFTER} ms set)`,
    );
    expect(took).toBeGreaterThan(DEAD_AFTER - HEARTBEAT - 50);

    link.thaw();
    expect(await take(standby, 5)).toEqual([5, 6, 7, 8, 9]);
    standby.ack();
    await standby.close();
    expect(await counters()).toMatchObject({ acked: 10, deadLettered: 0 });
    await holder.close();
  });

  test("of a producer with reconnect: nothing is lost, nothing stored twice", async () => {
    await using parts = await serve();
    const { server, proxy } = parts;
    const producer = new Producer(HOST, proxy.port, "silent", { reconnect: { minDelay: 1 } });
    await producer.initConn();
    await producer.send("message 0", 0);
    // Once the answers are stuck, once the requests and the answers.
    for (const id of [1, 2]) {
      const link = proxy.last;
      const before = proxy.links.length;
      link.freeze();
      await within(
        "an acknowledgement on the next link",
        DEAD_AFTER + LATE,
        producer.send(`message ${id}`, id),
      );
      expect(proxy.links.length).toBeGreaterThan(before);
      link.thaw();
    }
    await producer.close();
    const consumer = new Consumer(HOST, server.port, "silent");
    await consumer.initConn();
    expect(await take(consumer, 3)).toEqual([0, 1, 2]);
    expect(await consumer.poll()).toBeNull();
    await consumer.close();
  });

  test("without reconnect a send rejects when the link is given up", async () => {
    await using parts = await serve();
    const { proxy } = parts;
    const producer = new Producer(HOST, proxy.port, "given-up");
    await producer.initConn();
    proxy.last.freeze();
    const sent = producer.send("message", 0).then(
      () => null,
      (error) => error,
    );
    expect((await within("the rejection", DEAD_AFTER + LATE, sent))?.name).toBe("DeadConnectionUsed");
    await producer.close();
  });

  test("in the middle of the handshake ends within connectTimeout", async () => {
    await using parts = await serve();
    const { proxy } = parts;
    for (const direction of ["up", "down"] as const) {
      for (const after of [0, 1, 60, 120]) {
        proxy.fate = () => ({ cut: { direction, after, how: "silence" } });
        const producer = new Producer(HOST, proxy.port, "slow-handshake", { connectTimeout: 100 });
        const opened = producer.initConn().then(
          () => null,
          (error) => error,
        );
        const error = await within(`silence after byte ${after} ${direction}`, 100 + LATE, opened);
        expect(error).toMatchObject({ name: "InitFailed", code: "UNAVAILABLE" });
        await producer.close();
      }
    }
  });
});

test("a slow link delays and loses nothing", async () => {
  await using parts = await serve();
  const { server, proxy } = parts;
  proxy.fate = () => ({ delayMs: 40 });
  const producer = new Producer(HOST, proxy.port, "slow");
  const consumer = new Consumer(HOST, proxy.port, "slow");
  await Promise.all([producer.initConn(), consumer.initConn()]);
  const sent = producer.sendBatch(Array.from({ length: 2_000 }, (_, id) => ({ id, body: `message ${id}` })));
  expect(await take(consumer, 2_000)).toEqual(Array.from({ length: 2_000 }, (_, id) => id));
  await sent;
  consumer.ack();
  await Promise.all([producer.close(), consumer.close()]);
  expect((await fetchCounters(server.port, "slow")).acked).toBe(2_000);
});

interface SomeCounters {
  acked: number;
  deadLettered: number;
}

async function fetchCounters(port: number, topic: string): Promise<SomeCounters> {
  const response = await fetch(`http://${HOST}:${port}/twirp/tinymq.v1.Admin/GetTopic`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ topic }),
  });
  const { counters } = (await response.json()) as { counters: Record<keyof SomeCounters, string | number> };
  return { acked: Number(counters.acked), deadLettered: Number(counters.deadLettered) };
}
