/**
 * Bodies of up to 300 KiB through a real server and real sockets, where deliveries are made in place amid the
 * topic's own memory: whatever is sent, given back and sent again, every body arrives as it was.
 */
import { expect, test } from "bun:test";
import { bytes, Consumer, Producer } from "../../src/index.ts";
import { TinyMQServer } from "../../src/server/index.ts";
import { Random } from "../support/random.ts";
import { runs } from "../support/runs.ts";

const MESSAGES = 300;
const LENGTHS = [100, 9_000, 16_000, 17_000, 40_000, 262_000, 300_000];

test.each([
  ["one consumer", "exclusive", 1],
  ["three that compete", "shared", 3],
] as const)("large bodies to %s, some of them twice", async (_who, mode, consumers) => {
  const { seed } = runs(1);
  const random = new Random(seed);
  const server = new TinyMQServer({ maxMemory: 128 * 1024 * 1024 });
  await server.start("127.0.0.1", 0);
  const producer = new Producer("127.0.0.1", server.port, "large", { codec: bytes });
  await producer.initConn();
  const lengths = Array.from({ length: MESSAGES }, () => LENGTHS[random.below(LENGTHS.length)]!);
  const sending = producer.sendBatch(lengths.map((length, id) => ({ id, body: bodyOf(id, length) })));

  const seen = new Set<number>();
  const given: number[] = [];
  const all = Array.from({ length: consumers }, async () => {
    const consumer = new Consumer("127.0.0.1", server.port, "large", { codec: bytes, mode });
    await consumer.initConn();
    const done = setInterval(() => seen.size === MESSAGES && void consumer.close(), 5);
    for await (const message of consumer) {
      const { id, body } = message;
      expect(body.length).toBe(lengths[id]!);
      // Compared by hash: a difference would print 300 KB.
      expect(Bun.hash(body)).toBe(Bun.hash(bodyOf(id, lengths[id]!)));
      if (!message.redelivered && random.below(4) === 0) {
        given.push(id);
        message.retry();
      } else seen.add(id);
    }
    clearInterval(done);
  });
  await Promise.all([sending, ...all]);
  console.log(`seed ${seed}: ${given.length} were given back`);
  expect(seen.size).toBe(MESSAGES);
  expect(given.length).toBeGreaterThan(0);
  await producer.close();
  await server.stop();
});

/** Every byte tells of its message and its place. */
function bodyOf(id: number, length: number): Uint8Array {
  const body = new Uint8Array(length);
  for (let at = 0; at < length; at++) body[at] = (id * 31 + at * 7 + (at >>> 8)) & 0xff;
  return body;
}
