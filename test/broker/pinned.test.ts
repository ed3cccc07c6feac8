/** Messages that consumers hold here and there pin every slab: what is dropped or moved beside them frees memory all the same. */
import { expect, test } from "bun:test";
import { redrive } from "../../src/broker/redrive.ts";
import { Outcome } from "../../src/gen/tinymq/v1/queue.ts";
import { SlabPool } from "../../src/log/slab-pool.ts";
import { message, type SettleRequest, TestConsumer, TestProducer } from "../support/clients.ts";
import { Random } from "../support/random.ts";
import { runTurns } from "../support/work.ts";
import { World } from "../support/world.ts";

const KiB = 1024;
const MiB = 1024 * KiB;
const MINUTE = 60_000;
const sized = (id: number, length: number) => message(id, `${id} `.padEnd(length, "x"));

/** Fills 8 MiB with messages of a topic, of which a consumer then holds three of ten, everywhere. */
function pinned(world: World, name: string): { held: number; free: number } {
  const producer = new TestProducer(world, name);
  for (let id = 0; world.broker.memoryUsed < 7.5 * MiB; id += 100)
    producer.send(Array.from({ length: 100 }, (_, index) => sized(id + index, 1_000)));
  const consumer = new TestConsumer(world, name, "shared");
  const topic = world.broker.topics.get(name)!;
  const count = topic.ready;
  while (topic.ready > 0) consumer.pull({ max: 8_192, bytes: MiB });
  const settles: SettleRequest[] = [];
  for (let position = 0; position < count; position += 10)
    settles.push({ position, count: Math.min(7, count - position), outcome: Outcome.RETRY });
  consumer.pull({ max: 1, bytes: 1, wait: 0, settles });
  consumer.take();
  world.events.length = 0;
  return { held: topic.backlog.leased, free: topic.ready };
}

test("drop-oldest beside leases that pin a third of every slab drops little more than it needs", () => {
  const world = new World({ maxMemory: 8 * MiB, overflow: "drop-oldest" });
  const { held, free } = pinned(world, "t");
  expect([held > 2_000, free > 5_000]).toEqual([true, true]);
  const other = new TestProducer(world, "other");
  for (let id = 0; id < 1_000; id++) other.send([sized(id, 1_000)]);
  const { rejected, dropped } = world.broker.shared.counters;
  expect([rejected, dropped > 100]).toEqual([0, true]);
  expect(dropped).toBeLessThan(2_000);
  expect(world.broker.topics.get("t")!.backlog.leased).toBe(held);
  expect(world.broker.memoryUsed).toBeLessThanOrEqual(8 * MiB);
});

test("redrive beside leases that pin a third of every slab takes no more than a chunk beyond the memory", async () => {
  const world = new World({ maxMemory: 8 * MiB });
  const { free } = pinned(world, "t.dead");
  let most = 0;
  const charge = world.broker.charge.bind(world.broker);
  world.broker.charge = (bytes) => {
    charge(bytes);
    most = Math.max(most, world.broker.memoryUsed);
  };
  expect(await redrive(world.broker, "t", Number.MAX_SAFE_INTEGER)).toBe(free);
  expect(most).toBeGreaterThan(0);
  // A chunk is in both topics until it was moved.
  expect(most).toBeLessThan(8 * MiB + MiB);
});

test("delayed messages that come due here and there in a full memory: a turn copies a few slabs, and not all", () => {
  const maxMemory = 64 * MiB;
  const world = new World({ maxMemory });
  const producer = new TestProducer(world, "t");
  const random = new Random(5);
  const { counters } = world.broker.shared;
  // A third comes due while there is room: nothing is compacted then.
  for (let id = 0; world.broker.memoryUsed < 0.7 * maxMemory; id++)
    producer.send([sized(id, 2_000)], {
      delayMs: random.chance(0.3) ? MINUTE : 2 * MINUTE + random.below(MINUTE),
    });
  const { delayed } = { delayed: counters.produced };
  world.clock.skip(MINUTE);
  world.broker.limits.maxMemory = 1_024 * MiB;
  runTurns(world);
  world.broker.limits.maxMemory = world.broker.memoryUsed;
  let copied = 0;
  const take = SlabPool.prototype.take;
  SlabPool.prototype.take = function (size) {
    copied += size;
    return take.call(this, size);
  };
  try {
    let most = 0;
    for (let second = 0; second < 130; second++) {
      world.clock.skip(1_000);
      runTurns(world, () => {
        most = Math.max(most, copied);
        copied = 0;
      });
    }
    expect(most).toBeLessThan(10 * MiB);
  } finally {
    SlabPool.prototype.take = take;
  }
  expect(world.broker.topics.get("t")!.ready).toBe(delayed);
});
