/**
 * A recorded conversation is played again and again, and cut at another byte each time: in both directions,
 * from the first byte of the handshake to the last of the close.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { Consumer, Producer, TinyMQError } from "../../src/index.ts";
import { TinyMQServer } from "../../src/server/index.ts";
import { type Direction, FaultProxy } from "./proxy.ts";
import { within } from "./until.ts";

const HOST = "127.0.0.1";
const RECONNECT = { minDelay: 1, maxDelay: 2, attempts: 20, initial: true };
/** A cut that leads to a longer wait than this hangs. In ms. */
const LIMIT = 5_000;

const server = new TinyMQServer();
let proxy: FaultProxy;

beforeAll(async () => {
  await server.start(HOST, 0);
  proxy = await FaultProxy.to(() => server.port);
});

afterAll(async () => {
  await proxy[Symbol.asyncDispose]();
  await server.stop();
});

let topics = 0;
const newTopic = () => `cut-${++topics}`;

/** Everything that is left in a topic, in order. */
async function drain(topic: string): Promise<number[]> {
  const consumer = new Consumer(HOST, server.port, topic);
  await consumer.initConn();
  const ids: number[] = [];
  for (let next = await consumer.poll(); next !== null; next = await consumer.poll()) ids.push(next[0]);
  await consumer.close();
  return ids;
}

async function produceThree(topic: string): Promise<void> {
  const producer = new Producer(HOST, proxy.port, topic, { reconnect: RECONNECT });
  await producer.initConn();
  for (let id = 0; id < 3; id++) await producer.send(`message ${id}`, id);
  await producer.close();
}

/** Takes what is there through the proxy; returns all that it was handed, in order. */
async function consumeFive(topic: string): Promise<number[]> {
  const consumer = new Consumer(HOST, proxy.port, topic, { reconnect: RECONNECT });
  await consumer.initConn();
  const seen: number[] = [];
  while (new Set(seen).size < 5) {
    const next = await consumer.poll({ wait: LIMIT });
    if (next === null) throw new Error(`nothing came behind ${seen}`);
    seen.push(next[0]);
  }
  consumer.ack();
  await consumer.close();
  return seen;
}

async function fill(topic: string): Promise<void> {
  const producer = new Producer(HOST, server.port, topic);
  await producer.initConn();
  await producer.sendBatch([0, 1, 2, 3, 4].map((id) => ({ id, body: `message ${id}` })));
  await producer.close();
}

/** How long the conversation is, in both directions. */
async function record(converse: () => Promise<unknown>): Promise<Record<Direction, number>> {
  proxy.fate = () => ({});
  await converse();
  return { ...proxy.last.passed };
}

/** Plays a conversation once for each byte at which it is cut; returns how often it was. */
async function cutEverywhere(
  length: Record<Direction, number>,
  play: (where: string) => Promise<void>,
): Promise<number> {
  let played = 0;
  for (const direction of ["up", "down"] as const) {
    for (let after = 0; after <= length[direction]; after++) {
      const where = `cut after byte ${after} ${direction}`;
      let first = true;
      proxy.fate = () => {
        if (!first) return {};
        first = false;
        return { cut: { direction, after, how: after % 2 === 0 ? "reset" : "end" } };
      };
      await within(where, LIMIT, play(where));
      played += 1;
    }
  }
  return played;
}

describe("cut at every byte", () => {
  test("a producer with reconnect stores every message once and in order", async () => {
    const length = await record(() => produceThree(newTopic()));
    const cutsBefore = proxy.cuts;
    const played = await cutEverywhere(length, async (where) => {
      const topic = newTopic();
      await produceThree(topic);
      expect({ where, ids: await drain(topic) }).toEqual({ where, ids: [0, 1, 2] });
    });
    console.log(`producer: ${length.up} bytes up, ${length.down} down, played ${played} times`);
    // The last bytes may come when the client has gone already.
    expect(proxy.cuts - cutsBefore).toBeGreaterThan(played * 0.9);
  }, 180_000);

  test("a consumer with reconnect misses nothing and keeps the order", async () => {
    const length = await record(async () => {
      const topic = newTopic();
      await fill(topic);
      await consumeFive(topic);
    });
    const played = await cutEverywhere(length, async (where) => {
      const topic = newTopic();
      await fill(topic);
      const seen = await consumeFive(topic);
      expect({ where, first: [...new Set(seen)] }).toEqual({ where, first: [0, 1, 2, 3, 4] });
      // What the last acknowledgement did not reach is there still: the end of the topic, without a gap.
      const left = await drain(topic);
      expect({ where, left }).toEqual({ where, left: [0, 1, 2, 3, 4].slice(5 - left.length) });
    });
    console.log(`consumer: ${length.up} bytes up, ${length.down} down, played ${played} times`);
  }, 180_000);

  test("without reconnect every cut ends in an error, and what was acknowledged is stored", async () => {
    const converse = async (topic: string) => {
      const acknowledged: number[] = [];
      const producer = new Producer(HOST, proxy.port, topic);
      try {
        await producer.initConn();
        for (let id = 0; id < 3; id++) {
          await producer.send(`message ${id}`, id);
          acknowledged.push(id);
        }
      } catch (error) {
        if (!(error instanceof TinyMQError)) throw error;
      }
      await producer.close();
      return acknowledged;
    };
    const length = await record(() => converse(newTopic()));
    await cutEverywhere(length, async (where) => {
      const topic = newTopic();
      const acknowledged = await converse(topic);
      const stored = await drain(topic);
      // The one whose acknowledgement was cut off may be stored as well.
      expect({ where, stored }).toEqual({ where, stored: [0, 1, 2].slice(0, stored.length) });
      expect(stored.length - acknowledged.length).toBeOneOf([0, 1]);
    });
  }, 180_000);
});

describe("cut during the handshake", () => {
  const opens = {
    producer: () => new Producer(HOST, proxy.port, "handshake-producer"),
    consumer: () => new Consumer(HOST, proxy.port, "handshake-consumer", { mode: "shared" }),
  };
  for (const [name, open] of Object.entries(opens)) {
    test(`a ${name}'s initConn() rejects and does not hang`, async () => {
      const length = await record(async () => {
        const client = open();
        await client.initConn();
        // Not closed yet: what passed until now is the handshake.
        queueMicrotask(() => void client.close());
      });
      await cutEverywhere({ up: length.up - 1, down: length.down - 1 }, async () => {
        const client = open();
        const error = await client.initConn().then(
          () => null,
          (thrown) => thrown,
        );
        await client.close();
        expect(error).toBeInstanceOf(TinyMQError);
        expect(error.code).toBe("UNAVAILABLE");
      });
    }, 60_000);
  }
});
