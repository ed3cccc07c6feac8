/**
 * The page's table of known producers, played by a producer that keeps to the page. What the topic holds in the
 * end is compared with what the producer was told.
 */
import { describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Batch, ConsumeRequest, ConsumeResponse } from "../../src/gen/tinymq/v1/queue.ts";
import { Random } from "../support/random.ts";
import { PageProducer } from "./page-producer.ts";
import { startServer, type TestServer, Wire } from "./support.ts";

const FORGOTTEN_MS = 120_000;

/** Ids of all messages of the topic "t", in order; they are consumed. */
async function drain(server: TestServer): Promise<number[]> {
  const wire = await Wire.open(server.port, "/tinymq.v1.TinyMQ/Consume", { protocol: "tinymq.v1" });
  await wire.send("0a030a0174").next();
  const ids: number[] = [];
  for (let pullId = 1; ; pullId++) {
    const pull = { pullId, maxMessages: 0, maxBytes: 0, waitMs: 0, ack: { count: ids.length }, settles: [] };
    wire.send(ConsumeRequest.toBinary({ kind: { oneofKind: "pull", pull } }));
    const { kind } = ConsumeResponse.fromBinary(await wire.next());
    if (kind.oneofKind !== "delivered") break;
    ids.push(...Batch.fromBinary(kind.delivered.messages).messages.map(({ id }) => id));
  }
  await wire.close();
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
      try {
        await wander(new Random(seed), join(folder, "queue"));
      } finally {
        rmSync(folder, { recursive: true });
      }
    });
  }
});

const STEPS = 80;

async function wander(random: Random, snapshot: string): Promise<void> {
  const producer = new PageProducer("t");
  let server = await startServer({ snapshot });
  /** Ids sent, and what this memory of the server has held; an id that is stored in two memories is no double. */
  let sent = 0;
  let held: number[] = [];
  const check = async () => {
    held.push(...(await drain(server)));
    expect(held.length).toBe(new Set(held).size);
  };
  /** Stored in a memory that is gone. */
  const lost = new Set<number>();
  const restart = async (keep: boolean) => {
    if (!keep) {
      await check();
      for (const id of held) lost.add(id);
      held = [];
    }
    await server.stop();
    producer.lost();
    if (!keep) rmSync(snapshot);
    server = await startServer({ snapshot });
  };
  try {
    for (let step = 0; step < STEPS; step++) {
      if (!producer.connected) {
        if (random.chance(0.2)) server.clock.advance(FORGOTTEN_MS);
        else if (random.chance(0.15)) await restart(random.chance(0.6));
        else if (random.chance(0.4)) await producer.connectAndLoseAnswer(server);
        else await producer.connect(server);
      } else {
        for (let more = random.below(4); more > 0; more--) producer.send(++sent);
        if (random.chance(0.5)) await producer.cut(server);
        else if (random.chance(0.1)) await restart(random.chance(0.6));
        else await producer.answers();
        if (producer.connected && random.chance(0.2)) await producer.close(server, random.chance(0.5));
      }
    }
    if (!producer.connected) await producer.connect(server);
    await producer.answers();
    await check();
    for (const [id, fate] of producer.fates) {
      if (fate === "stored") expect(held.includes(id) || lost.has(id), `${id} was stored`).toBe(true);
      if (fate === "rejected") expect(held).not.toContain(id);
    }
    expect(producer.fates.size).toBe(sent);
  } finally {
    await server.stop();
  }
}
