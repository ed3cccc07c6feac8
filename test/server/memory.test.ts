/**
 * Memory of the server's process, as the system counts it: bounded when nobody consumes, given back when
 * everything is consumed, and not held by clients that do not read.
 *
 * 60 s of producing with `TINYMQ_PROOF=long`, 4 s else.
 */
import { afterAll, describe, expect, test } from "bun:test";
import { join } from "node:path";
import { Consumer, Producer } from "../../src/index.ts";
import { ConsumerChild, endConsumers } from "../proof/consumer-child.ts";
import { drain, flood, HOST, MemoryWatch, MiB, mebibytes } from "../proof/load.ts";
import { endServers, makeFolder, type ServerProcess, startServer } from "../proof/server-process.ts";
import { LONG, until } from "../proof/until.ts";

afterAll(endServers);
afterAll(endConsumers);

const CAP = 64 * MiB;
/** What a busy process may hold beside its idle memory and the cap: docs/guarantees.md states it. */
const OVERHEAD = 192 * MiB;
const FLOOD_MS = LONG ? 60_000 : 4_000;
const MESSAGE = 1_000;

/** A server, and what it holds when it has answered its first request. */
async function start(options = {}): Promise<{ server: ServerProcess; idle: number }> {
  const server = await startServer({ maxMemory: CAP, ...options });
  await server.status();
  return { server, idle: server.resident };
}

async function expectGivenBack(server: ServerProcess, idle: number): Promise<void> {
  const begun = performance.now();
  await until("memory to be given back", () => server.resident <= 2 * idle, 10_000).catch(() => {});
  const after = Math.round(performance.now() - begun);
  console.log(`drained: ${mebibytes(server.resident)} after ${after} ms, idle was ${mebibytes(idle)}`);
  expect(server.resident).toBeLessThanOrEqual(2 * idle);
}

describe("a server at its cap", () => {
  test("rejects with QueueFull, stays below the cap and an overhead, and loses nothing acknowledged", async () => {
    const { server, idle } = await start();
    const watch = new MemoryWatch(server.pid);
    const sent = await flood(server.port, "full", MESSAGE, FLOOD_MS);
    const peak = watch.stop();
    const { memoryUsed } = await server.status();
    console.log(
      `${FLOOD_MS / 1000} s without a consumer: ${sent.sent} sent, ${sent.acknowledged.length} acknowledged, ` +
        `${sent.rejected} QueueFull; charged ${mebibytes(memoryUsed)}; resident ${mebibytes(peak)} at most, ` +
        `${mebibytes(peak - CAP - idle)} above the cap and idle (${mebibytes(idle)})`,
    );
    expect(sent.rejected).toBeGreaterThan(0);
    expect(sent.rejected + sent.acknowledged.length).toBe(sent.sent);
    expect(memoryUsed).toBeLessThanOrEqual(CAP);
    expect(peak).toBeLessThan(idle + CAP + OVERHEAD);

    // As soon as there is room, sending succeeds again; what was acknowledged is there.
    const producer = new Producer(HOST, server.port, "full");
    await producer.initConn();
    const body = "x".repeat(MESSAGE);
    expect(await producer.send(body, 1).catch((error) => error.name)).toBe("QueueFull");
    const consumer = new Consumer(HOST, server.port, "full");
    await consumer.initConn();
    const ids: number[] = [];
    while (ids.length < 1_000) ids.push((await consumer.poll({ wait: 1_000 }))![0]);
    await consumer.close();
    await producer.send(body, 2 ** 40);
    await producer.close();
    ids.push(...(await drain(server.port, "full")));
    expect(ids.pop()).toBe(2 ** 40);
    // The first of the second consumer is the first that the first one did not acknowledge.
    expect([...new Set(ids)]).toEqual(sent.acknowledged);
    await expectGivenBack(server, idle);
  }, 180_000);

  test("with drop-oldest takes everything, keeps the newest, and counts what it dropped", async () => {
    const { server, idle } = await start({ overflow: "drop-oldest" });
    const watch = new MemoryWatch(server.pid);
    const sent = await flood(server.port, "newest", MESSAGE, FLOOD_MS / 2);
    const peak = watch.stop();
    console.log(`drop-oldest: ${sent.sent} sent, resident ${mebibytes(peak)} at most`);
    expect(sent.rejected).toBe(0);
    expect(sent.acknowledged.length).toBe(sent.sent);
    expect(peak).toBeLessThan(idle + CAP + OVERHEAD);
    const { counters } = await server.status();
    const kept = await drain(server.port, "newest");
    expect(kept).toEqual(Array.from({ length: kept.length }, (_, index) => sent.sent - kept.length + index));
    expect(counters!.dropped).toBe(sent.sent - kept.length);
    expect(counters!.dropped).toBeGreaterThan(0);
    // Most of the cap holds messages.
    expect(kept.length * MESSAGE).toBeGreaterThan(CAP / 2);
    await expectGivenBack(server, idle);
  }, 180_000);

  test("with a cap per topic rejects on that topic only", async () => {
    const { server } = await start({ maxTopicMemory: 4 * MiB });
    const sent = await flood(server.port, "small", MESSAGE, 60_000, 10_000);
    expect(sent.rejected).toBeGreaterThan(0);
    expect((await flood(server.port, "other", MESSAGE, 60_000, 1_000)).rejected).toBe(0);
    expect((await server.status()).memoryUsed).toBeLessThan(6 * MiB);
    expect(await drain(server.port, "small")).toEqual(sent.acknowledged);
  }, 60_000);
});

test("one leased message does not pin the memory of what came and went around it", async () => {
  const { server, idle } = await start();
  const holder = new Consumer(HOST, server.port, "pinned", { mode: "shared", prefetch: 1, autoAck: false });
  await holder.initConn();
  for (let round = 0; round < 5; round++) {
    const sent = await flood(server.port, "pinned", MESSAGE, 60_000, 30_000);
    expect(sent.rejected).toBe(0);
    // It takes the first of the first round, and keeps it.
    if (round === 0) expect((await holder.poll({ wait: 1_000 }))?.[0]).toBe(0);
    const drained = await drain(server.port, "pinned", { mode: "shared", prefetch: 2_000 });
    expect(drained.length).toBe(round === 0 ? 29_999 : 30_000);
  }
  const { memoryUsed, messages } = await server.status();
  console.log(`one leased message of 150,000: charged ${memoryUsed} bytes`);
  expect(messages).toBe(1);
  expect(memoryUsed).toBeLessThan(MiB);
  await expectGivenBack(server, idle);
  await holder.close();
}, 120_000);

describe("clients that do not read", () => {
  test("a frozen consumer and a frozen subscriber hold little, and a healthy pair loses nothing", async () => {
    const { server, idle } = await start();
    const folder = makeFolder();
    const { port } = server;
    const frozen = [
      new ConsumerChild({
        port,
        topic: "stuck",
        mode: "exclusive",
        way: "loop",
        file: join(folder, "consumer"),
      }),
      new ConsumerChild({
        port,
        topic: "live",
        mode: "exclusive",
        way: "subscribe",
        file: join(folder, "subscriber"),
      }),
    ];
    for (const child of frozen) await until("a client that is open", () => child.lines().length > 0);
    for (const child of frozen) child.signal("SIGSTOP");
    const watch = new MemoryWatch(server.pid);
    // What the frozen consumer pulled is sent to it, and fills its connection.
    await flood(port, "stuck", MESSAGE, 60_000, 20_000);
    const healthy = new Consumer(HOST, port, "live");
    await healthy.initConn();
    let handed = 0;
    let inOrder = true;
    const total = 150_000;
    const consuming = (async () => {
      for await (const { id } of healthy) {
        inOrder &&= id === handed;
        handed += 1;
        if (handed === total) break;
      }
    })();
    const sent = await flood(port, "live", MESSAGE, 60_000, total);
    await consuming;
    await healthy.close();
    const peak = watch.stop();
    const { memoryUsed } = await server.status();
    console.log(
      `frozen clients beside ${mebibytes(total * MESSAGE)}: charged ${mebibytes(memoryUsed)}, resident ` +
        `${mebibytes(peak)} at most`,
    );
    expect({ inOrder, handed, rejected: sent.rejected }).toEqual({
      inOrder: true,
      handed: total,
      rejected: 0,
    });
    expect(peak).toBeLessThan(idle + CAP + OVERHEAD);
    // The stuck topic, and the buffers towards both clients.
    expect(memoryUsed).toBeLessThan(32 * MiB);
  }, 120_000);
});
