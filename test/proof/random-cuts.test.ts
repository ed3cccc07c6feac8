/**
 * Messages flow through a network that breaks all the time, at random bytes of both directions. Every
 * acknowledged message arrives, in order, and none is stored twice.
 *
 * 1,000 cuts while 100,000 messages flow; ten times that with `TINYMQ_PROOF=long`.
 */
import { afterAll, expect, test } from "bun:test";
import { Consumer, Producer } from "../../src/index.ts";
import { type Fate, FaultProxy } from "./proxy.ts";
import { endServers, startServer } from "./server-process.ts";
import { LONG, newSeed, randomFrom, until } from "./until.ts";

afterAll(endServers);

const CUTS = LONG ? 10_000 : 1_000;
const MESSAGES = 100 * CUTS;
const RECONNECT = { minDelay: 1, maxDelay: 10, initial: true };
/** Bytes between two cuts of a connection: 0 to this, handshake included. */
const MOST_BYTES = 3_000;

test("random cuts while messages flow: all arrive, in order, none is stored twice", async () => {
  const seed = newSeed();
  const random = randomFrom(seed);
  const server = await startServer();
  await using proxy = await FaultProxy.to(() => server.port);
  proxy.fate = (): Fate => {
    if (proxy.cuts >= CUTS) return {};
    const direction = random() < 0.5 ? "up" : "down";
    const how = random() < 0.5 ? "reset" : "end";
    return { cut: { direction, after: Math.floor(random() * MOST_BYTES), how } };
  };

  const begun = performance.now();
  const progress = { acknowledged: 0, sent: 0, allSent: false };
  const [handed] = await Promise.all([consumeAll(proxy.port, progress), produceAll(proxy, progress, random)]);
  const seconds = (performance.now() - begun) / 1000;

  const { counters } = await server.status();
  const again = handed.length - progress.sent;
  console.log(
    `seed ${seed}: ${progress.sent} messages, ${proxy.cuts} cuts, ${proxy.links.length} connections, ` +
      `${again} deliveries seen twice, ${seconds.toFixed(1)} s`,
  );
  expect(proxy.cuts).toBeGreaterThanOrEqual(CUTS);
  expect(progress.acknowledged).toBe(progress.sent);
  // The server stored exactly what was sent: a second copy would have been counted, too.
  expect(counters?.produced).toBe(progress.sent);
  expect(counters?.acked).toBe(progress.sent);
  // The first time that each is seen is in order, without a gap.
  expect([...new Set(handed)]).toEqual(Array.from({ length: progress.sent }, (_, id) => id));
}, 300_000);

interface Progress {
  acknowledged: number;
  sent: number;
  allSent: boolean;
}

/** Sends in ticks of ten, each acknowledged in the end; goes on until there were cuts enough. */
async function produceAll(proxy: FaultProxy, progress: Progress, random: () => number): Promise<void> {
  const producer = new Producer("127.0.0.1", proxy.port, "cuts", { reconnect: RECONNECT });
  await producer.initConn();
  while (progress.sent < MESSAGES || proxy.cuts < CUTS) {
    const group: Promise<void>[] = [];
    for (let tick = 0; tick < 10; tick++) {
      for (let each = 0; each < 10; each++) {
        group.push(producer.send(`message ${progress.sent}`, progress.sent));
        progress.sent += 1;
      }
      await null;
    }
    // Some groups wait for their acknowledgements, others pile up in flight.
    if (random() < 0.5) await Promise.all(group);
    for (const sent of group) {
      sent.then(
        () => (progress.acknowledged += 1),
        () => {},
      );
    }
    // A cut for every hundred messages: where the bytes have brought none, it comes now.
    if (progress.sent > 100 * proxy.cuts) cutOne(proxy, random);
    await until("room in flight", () => producer.unacknowledgedBytes < 4_000, 60_000);
  }
  // From here on the consumer must get through with its acknowledgements.
  proxy.spareAll();
  // Said before the last message is sent, so that its arrival finds it said: nothing comes behind it.
  progress.allSent = true;
  progress.sent += 1;
  const last = producer.send(`message ${progress.sent - 1}`, progress.sent - 1);
  await last;
  progress.acknowledged += 1;
  await until("all acknowledgements", () => producer.unacknowledgedBytes === 0, 60_000);
  await producer.close();
}

/** Cuts a connection that is open, whatever it is doing. */
function cutOne(proxy: FaultProxy, random: () => number): void {
  if (proxy.cuts >= CUTS) return;
  const open = proxy.links.slice(-10).filter((link) => !link.closed);
  open[Math.floor(random() * open.length)]?.cut(random() < 0.5 ? "reset" : "end");
}

/** Every id that was handed out, in that order. Checks that an offset belongs to one id, and the reverse. */
async function consumeAll(port: number, progress: Progress): Promise<number[]> {
  const consumer = new Consumer("127.0.0.1", port, "cuts", { reconnect: RECONNECT, prefetch: 128 });
  await consumer.initConn();
  const handed: number[] = [];
  const offsetOf = new Map<number, number>();
  const offsets = new Set<number>();
  for await (const { id, offset, body, redelivered } of consumer) {
    if (body !== `message ${id}`) throw new Error(`message ${id} says ${body}`);
    const before = offsetOf.get(id);
    if (before === undefined) {
      offsetOf.set(id, offset);
      offsets.add(offset);
    } else if (before !== offset || !redelivered) {
      throw new Error(`message ${id} came at offset ${before} and ${offset}, redelivered: ${redelivered}`);
    }
    handed.push(id);
    if (progress.allSent && offsets.size === progress.sent) break;
  }
  expect(offsets.size).toBe(offsetOf.size);
  consumer.ack();
  await until("the last acknowledgement", () => consumer.state === "open", 60_000);
  await consumer.close();
  return handed;
}
