/** Attacks by consumers: leases in many pieces that are settled, returned, rewound or given up all at once. */
import { Outcome } from "../../../src/gen/tinymq/v1/queue.ts";
import { type Arena, type Attack, pause, rounds, together } from "./arena.ts";
import {
  drain,
  EXCLUSIVE,
  everySecond,
  HostileConsumer,
  HostileProducer,
  SHARED,
} from "./hostile-clients.ts";

/** Messages of which a consumer may settle every second one, and not be closed: four pulls. */
const PIECED = 4 * 8_192;

/** Fills a topic up to so many ready messages; what is there already is consumed again and again. */
async function stock(arena: Arena, topic: string, many: number): Promise<number> {
  const producer = await HostileProducer.open(arena, topic);
  const stored = await producer.fill(many);
  producer.stream.close();
  return stored;
}

/** One settle rejects all that is leased, with the longest reason. */
const rejectAll = rounds(async (arena) => {
  await stock(arena, "reject-all", arena.size(400_000));
  const consumer = await HostileConsumer.open(arena, "reject-all", EXCLUSIVE);
  const leased = await consumer.lease(arena.size(400_000));
  const reason = "r".repeat(1_024);
  consumer.settle({ position: 0, count: consumer.delivered, outcome: Outcome.REJECT, reason, delayMs: 0 });
  arena.count("rejected", leased);
  // In later turns the dead letters come, which are consumed for room.
  await pause(arena, 500);
  consumer.stream.cut();
  const dead = await HostileConsumer.open(arena, "reject-all.dead", EXCLUSIVE);
  do {
    arena.count("dead letters", await dead.lease(65_536));
    dead.ack(dead.delivered);
  } while (arena.isOn && dead.delivered < leased);
  dead.stream.close();
});

/** Fragments, which one retry of every second message makes, are taken by 16 pulls at once. */
const pullFragments = rounds(async (arena) => {
  const topic = "pull-fragments";
  await stock(arena, topic, arena.size(PIECED));
  const consumer = await HostileConsumer.open(arena, topic, EXCLUSIVE);
  await consumer.lease(arena.size(PIECED));
  await consumer.settleAll(everySecond(0, consumer.delivered, Outcome.RETRY));
  // It may hold no more pieces than these: the rest is done.
  consumer.ack(consumer.delivered);
  for (let round = 0; round < 5; round++) {
    const before = consumer.delivered;
    for (let each = 0; each < 16; each++) consumer.pull(8_192, { waitMs: 1_000 });
    await consumer.answered();
    arena.count("fragments", consumer.delivered - before);
    consumer.rewind(before);
    await consumer.rewindAnswered();
  }
  consumer.pull(8_192);
  await consumer.answered();
  consumer.ack(consumer.delivered);
  consumer.stream.cut();
});

/** Shared consumers hold pieces, rewind to the beginning together, and end together; nothing may be lost. */
const rewindFragments: Attack = async (arena) => {
  const topic = "rewind-fragments";
  const stored = await stock(arena, topic, arena.size(800_000));
  const each = Math.min(PIECED, Math.ceil(stored / 13));
  const round = rounds(async () => {
    const consumers = await Promise.all(Array.from({ length: 13 }, () => HostileConsumer.open(arena, topic)));
    const fragment = async (one: HostileConsumer) => {
      await one.settleAll(everySecond(0, one.delivered, Outcome.RETRY));
      arena.count("fragments", one.delivered / 2);
    };
    try {
      for (const consumer of consumers) await consumer.lease(each);
      await Promise.all(consumers.map(fragment));
    } catch (error) {
      for (const one of consumers) one.stream.cut();
      throw error;
    }
    const cut = arena.random.chance(0.5);
    if (!cut) {
      for (const one of consumers) one.rewind(0);
      await Promise.all(consumers.map((one) => one.rewindAnswered()));
      arena.count("rewinds", consumers.length);
    }
    for (const one of consumers) one.stream.cut();
    if (cut) arena.count("disconnects", consumers.length);
  });
  await round(arena);
  await tellLost(arena, topic, stored);
};

/** Batches that expire together, each by an entry of its own, beside leases in many pieces. */
const expiring = rounds(async (arena) => {
  const topic = "expiring";
  await stock(arena, topic, arena.size(2 * PIECED));
  const consumer = await HostileConsumer.open(arena, topic, EXCLUSIVE);
  await consumer.lease(arena.size(PIECED));
  await consumer.settleAll(everySecond(0, consumer.delivered, Outcome.RETRY));
  const producer = await HostileProducer.open(arena, topic);
  const due = performance.now() + 3_000;
  for (let sent = 0; sent < arena.size(20_000); sent++) {
    await producer.send(BATCH, 1, { ttlMs: Math.max(1, Math.round(due - performance.now())) });
  }
  await producer.answered();
  // Some of them are leased when they expire, and late when they return.
  await consumer.lease(arena.size(10_000));
  arena.count("ttl batches", producer.acknowledged);
  await pause(arena, Math.max(0, due + 200 - performance.now()));
  consumer.ack(Math.floor(consumer.delivered / 2));
  producer.stream.close();
  consumer.stream.cut();
});
/** One message of id 0: an entry of no bytes. */
const BATCH = Uint8Array.of(0x0a, 0);

/** Single messages, each retried with a delay. */
const retryLater: Attack = async (arena) => {
  const topic = "retry-later";
  const stored = await stock(arena, topic, arena.size(300_000));
  await rounds(async () => {
    const consumer = await HostileConsumer.open(arena, topic);
    for (let left = stored; left > 0 && arena.isOn; left -= PIECED) {
      const first = consumer.delivered;
      await consumer.lease(Math.min(left, PIECED));
      const settles = everySecond(first, consumer.delivered, Outcome.RETRY, 1_500);
      await consumer.settleAll(settles);
      const rest = everySecond(first + 1, consumer.delivered, Outcome.RETRY, 1_500);
      await consumer.settleAll(rest);
      arena.count("retries", settles.length + rest.length);
    }
    await pause(arena, 1_600);
    consumer.stream.cut();
  })(arena);
  await pause({ ...arena, isOn: true }, 2_000);
  await tellLost(arena, topic, stored);
};

/** As many settles as fit into one frame, of every kind. */
const packedSettles = rounds(async (arena) => {
  const many = arena.size(PIECED);
  for (const outcome of [Outcome.DONE, Outcome.RETRY, Outcome.REJECT]) {
    await stock(arena, "packed", many);
    const consumer = await HostileConsumer.open(arena, "packed", EXCLUSIVE);
    const leased = await consumer.lease(many);
    const settles = Array.from({ length: leased }, (_, position) => ({
      position,
      count: 1,
      outcome,
      reason: "",
      delayMs: 0,
    }));
    await consumer.settleAll(settles);
    arena.count("settles", leased);
    consumer.stream.cut();
    const dead = await HostileConsumer.open(arena, "packed.dead", EXCLUSIVE);
    while ((await dead.lease(65_536)) > 0 && arena.isOn) dead.ack(dead.delivered);
    dead.stream.close();
  }
});

/** Hundreds of connections with 64 waiting pulls each, all of which a rewind answers. */
const rewindPulls = rounds(async (arena) => {
  await stock(arena, "rewind-pulls", 1_000);
  await together(arena.size(300), async () => {
    const consumer = await HostileConsumer.open(arena, "rewind-pulls");
    for (let round = 0; round < 20 && arena.isOn; round++) {
      while (consumer.waiting < 64) consumer.pull(10, { waitMs: 60_000 });
      consumer.rewind(0);
      await consumer.rewindAnswered();
      arena.count("rewinds");
    }
    consumer.stream.cut();
  });
});

/** Thousands of shared consumers that hold something, and end at one moment. */
const leaveTogether: Attack = async (arena) => {
  const topic = "leave-together";
  const stored = await stock(arena, topic, arena.size(20_000));
  await rounds(async () => {
    const consumers: HostileConsumer[] = [];
    while (consumers.length < arena.size(2_000) && arena.isOn) {
      const opening = Array.from({ length: 32 }, () => HostileConsumer.open(arena, topic, SHARED));
      for (const one of await Promise.all(opening)) {
        one.pull(8, { waitMs: 60_000 });
        one.pull(8, { waitMs: 60_000 });
        consumers.push(one);
      }
    }
    for (const one of consumers) one.stream.cut();
    arena.count("disconnects", consumers.length);
  })(arena);
  await tellLost(arena, topic, stored);
};

/** What was acknowledged is there in the end, unless the operator chose otherwise. */
async function tellLost(arena: Arena, topic: string, stored: number): Promise<void> {
  arena.count("kept", stored);
  const found = await drain(arena, topic);
  if (arena.keeps) arena.count("lost", stored - found);
}

export const CONSUMING = {
  rejectAll,
  pullFragments,
  rewindFragments,
  expiring,
  retryLater,
  packedSettles,
  rewindPulls,
  leaveTogether,
} satisfies Record<string, Attack>;
