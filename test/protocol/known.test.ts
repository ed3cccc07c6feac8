/**
 * The page's table of known producers, played by a producer that keeps to the page. What the topic holds in the
 * end is compared with what the producer was told.
 */
import { describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Random } from "../support/random.ts";
import { PageProducer } from "./page-producer.ts";
import { ConsumeStream } from "./streams.ts";
import { startServer, type TestServer } from "./support.ts";

const FORGOTTEN_MS = 120_000;

/** Ids of all messages of the topic "t", in order; they are consumed. */
async function drain(server: TestServer): Promise<number[]> {
  const consumer = await ConsumeStream.open(server, "t");
  const ids = (await consumer.pullAll()).map(({ id }) => id);
  consumer.send({ oneofKind: "ack", ack: { count: ids.length } });
  await consumer.wire.close();
  return ids;
}

describe("known", () => {
  test("new, the answer arrives; cut, and open again: remembered, sent again, stored once", async () => {
    await using server = await startServer();
    const producer = new PageProducer("t");
    expect(await producer.connect(server)).toMatchObject({ known: false, lastSeq: 0 });
    producer.send(1);
    await producer.cut(server, 1);
    expect(await producer.connect(server)).toMatchObject({ known: true, lastSeq: 1 });
    expect([...producer.fates]).toEqual([[1, "stored"]]);
    expect(await drain(server)).toEqual([1]);
  });

  test("open, cut, and open without any batch, again and again: nothing is in doubt", async () => {
    await using server = await startServer();
    const producer = new PageProducer("t");
    await producer.connect(server);
    for (let times = 0; times < 3; times++) {
      await producer.cut(server);
      expect(await producer.connect(server)).toMatchObject({ known: true, lastSeq: 0 });
    }
    producer.send(1);
    await producer.answers();
    expect([...producer.fates]).toEqual([[1, "stored"]]);
    expect(await drain(server)).toEqual([1]);
  });

  test("the first answer is lost: what is sent afterwards is stored once", async () => {
    await using server = await startServer();
    const producer = new PageProducer("t");
    await producer.connectAndLoseAnswer(server);
    expect(await producer.connect(server)).toMatchObject({ known: true, lastSeq: 0 });
    producer.send(1);
    await producer.cut(server, 1);
    await producer.connect(server);
    expect([...producer.fates]).toEqual([[1, "stored"]]);
    expect(await drain(server)).toEqual([1]);
  });

  test("forgotten after two minutes: what was in flight is unknown, however often the answer is lost", async () => {
    await using server = await startServer();
    const producer = new PageProducer("t");
    await producer.connect(server);
    producer.send(1);
    await producer.answers();
    producer.send(2);
    await producer.cut(server, 2);
    server.clock.advance(FORGOTTEN_MS);
    await producer.connectAndLoseAnswer(server);
    await producer.connectAndLoseAnswer(server);
    expect(await producer.connect(server)).toMatchObject({ known: false, lastSeq: 1 });
    producer.send(3);
    await producer.cut(server, 3);
    expect(await producer.connect(server)).toMatchObject({ known: true, lastSeq: 2 });
    expect([...producer.fates]).toEqual([
      [1, "stored"],
      [2, "unknown"],
      [3, "stored"],
    ]);
    expect(await drain(server)).toEqual([1, 2, 3]);
  });

  test("remembered until then", async () => {
    await using server = await startServer();
    const producer = new PageProducer("t");
    await producer.connect(server);
    producer.send(1);
    await producer.cut(server, 1);
    server.clock.advance(FORGOTTEN_MS - 1);
    expect(await producer.connect(server)).toMatchObject({ known: true });
    expect(await drain(server)).toEqual([1]);
  });

  test("a finish frame forgets at once, a close with 1000 and without one does not", async () => {
    await using server = await startServer();
    const producer = new PageProducer("t");
    await producer.connect(server);
    producer.send(1);
    await producer.answers();
    await producer.close(server, false);
    expect(await producer.connect(server)).toMatchObject({ known: true, lastSeq: 1 });
    await producer.close(server, true);
    expect(await producer.connect(server)).toMatchObject({ known: false, lastSeq: 1 });
  });

  test("a new instance: what was in flight is sent again, also if the first answer is lost", async () => {
    const producer = new PageProducer("t");
    const first = await startServer();
    await producer.connect(first);
    producer.send(1);
    await producer.answers();
    producer.send(2);
    await producer.cut(first, 2);
    await first.stop();
    await using second = await startServer();
    await producer.connectAndLoseAnswer(second);
    expect(await producer.connect(second)).toMatchObject({ known: true, lastSeq: 1 });
    expect([...producer.fates]).toEqual([
      [1, "stored"],
      [2, "stored"],
    ]);
    expect(await drain(second)).toEqual([2]);
  });

  test("a restart with a snapshot does not make a forgotten producer known", async () => {
    const folder = mkdtempSync(join(tmpdir(), "tinymq-known-"));
    try {
      const options = { snapshot: join(folder, "queue") };
      const producer = new PageProducer("t");
      const first = await startServer(options);
      await producer.connect(first);
      producer.send(1);
      await producer.cut(first, 1);
      first.clock.advance(FORGOTTEN_MS);
      await producer.connectAndLoseAnswer(first);
      await first.stop();
      await using second = await startServer(options);
      expect(await producer.connect(second)).toMatchObject({ known: false });
      expect([...producer.fates]).toEqual([[1, "unknown"]]);
      expect(await drain(second)).toEqual([1]);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});

describe("cuts, lost answers, silences, restarts with and without a snapshot, in any order", () => {
  for (const seed of [1, 2, 3, 4]) {
    test(`nothing is stored twice, and what is said is so: seed ${seed}`, async () => {
      const folder = mkdtempSync(join(tmpdir(), "tinymq-known-"));
      const path = await Path.begin(seed, join(folder, "queue"));
      try {
        for (let step = 0; step < STEPS; step++) await path.step();
        await path.finish();
      } finally {
        await path.server.stop();
        rmSync(folder, { recursive: true });
      }
    });
  }
});

const STEPS = 80;

/** A producer, a server that comes and goes, and chance. */
class Path {
  readonly #random: Random;
  readonly #snapshot: string;
  readonly #producer = new PageProducer("t");
  server: TestServer;
  #sent = 0;
  /** Ids that this memory of the server has held: none of them twice. */
  #held: number[] = [];
  /** Ids that were held by memories that are gone. */
  readonly #lost = new Set<number>();

  private constructor(random: Random, snapshot: string, server: TestServer) {
    this.#random = random;
    this.#snapshot = snapshot;
    this.server = server;
  }

  static async begin(seed: number, snapshot: string): Promise<Path> {
    return new Path(new Random(seed), snapshot, await startServer({ snapshot }));
  }

  step(): Promise<unknown> {
    return this.#producer.connected ? this.#stepConnected() : this.#stepAway();
  }

  /** Compares what the producer was told with what the topic held. */
  async finish(): Promise<void> {
    const producer = this.#producer;
    if (!producer.connected) await producer.connect(this.server);
    await producer.answers();
    await this.#drain();
    expect(producer.fates.size).toBe(this.#sent);
    for (const [id, fate] of producer.fates) {
      if (fate === "stored") expect(this.#held.includes(id) || this.#lost.has(id), `${id}`).toBe(true);
    }
  }

  async #stepAway(): Promise<unknown> {
    const { server } = this;
    if (this.#random.chance(0.2)) return server.clock.advance(FORGOTTEN_MS);
    if (this.#random.chance(0.15)) return this.#restart();
    if (this.#random.chance(0.4)) return this.#producer.connectAndLoseAnswer(server);
    return this.#producer.connect(server);
  }

  async #stepConnected(): Promise<unknown> {
    for (let more = this.#random.below(4); more > 0; more--) this.#producer.send(++this.#sent);
    if (this.#random.chance(0.5)) return this.#producer.cut(this.server);
    if (this.#random.chance(0.1)) return this.#restart();
    await this.#producer.answers();
    if (this.#random.chance(0.2)) await this.#producer.close(this.server, this.#random.chance(0.5));
  }

  /** With its memory, or without. */
  async #restart(): Promise<void> {
    const keeps = this.#random.chance(0.6);
    if (!keeps) {
      await this.#drain();
      for (const id of this.#held.splice(0)) this.#lost.add(id);
    }
    await this.server.stop();
    this.#producer.lost();
    if (!keeps) rmSync(this.#snapshot);
    this.server = await startServer({ snapshot: this.#snapshot });
  }

  async #drain(): Promise<void> {
    this.#held.push(...(await drain(this.server)));
    expect(this.#held.length).toBe(new Set(this.#held).size);
  }
}
