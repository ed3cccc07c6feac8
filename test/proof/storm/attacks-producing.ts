/** Attacks by producers and operators: unique ids, delays, dead letters, and many of everything small. */
import { adminClient } from "../../../src/index.ts";
import { type Arena, type Attack, pause, rounds } from "./arena.ts";
import { batchOf, drain, EXCLUSIVE, HostileConsumer, HostileProducer, Outcome } from "./hostile-clients.ts";

const admin = ({ port }: Arena) => adminClient("127.0.0.1", port);

/** The table of unique ids is filled, for short and for long. */
const uniqueIds = rounds(async (arena) => {
  const producer = await HostileProducer.open(arena, "unique");
  const consumer = await HostileConsumer.open(arena, "unique");
  for (let round = 0; round < 150 && arena.isOn; round++) {
    const uniqueMs = round % 2 === 0 ? 2_000 : 20_000;
    const stored = await producer.fill(8_192, arena.random.below(2 ** 40), { uniqueMs });
    await consumer.lease(8_192);
    consumer.ack(consumer.delivered);
    arena.count("ids", stored);
    arena.count("refused ids", 8_192 - stored);
  }
  producer.stream.close();
  consumer.stream.close();
  await pause(arena, 1_000);
});

/** Hundreds of thousands of dead letters go back, and die again. */
const redrive = rounds(async (arena) => {
  const producer = await HostileProducer.open(arena, "redrive");
  await producer.fill(arena.size(100_000));
  producer.stream.close();
  for (let round = 0; round < 3 && arena.isOn; round++) {
    const consumer = await HostileConsumer.open(arena, "redrive", EXCLUSIVE);
    const count = await consumer.lease(2 * arena.size(100_000));
    consumer.settle({ position: 0, count, outcome: Outcome.REJECT, reason: "again", delayMs: 0 });
    await pause(arena, 500);
    consumer.stream.cut();
    const [one, other] = await Promise.all([
      admin(arena).redriveTopic({ topic: "redrive", limit: 0 }).response,
      admin(arena).redriveTopic({ topic: "redrive", limit: 0 }).response,
    ]);
    arena.count("moved", one.moved + other.moved);
  }
  await admin(arena).purgeTopic({ topic: "redrive" });
});

const listTopics = rounds(async (arena) => {
  for (let after = ""; arena.isOn; ) {
    const { topics } = await admin(arena).listTopics({ prefix: "", limit: 1_000, after }).response;
    arena.count("lists");
    after = topics.at(-1)?.name ?? "";
    if (after === "") break;
  }
});

/** A large topic goes at once, whose ids are remembered and some of which is not due. */
const purge = rounds(async (arena) => {
  const producer = await HostileProducer.open(arena, "purge");
  const id = arena.random.below(2 ** 40);
  const many = arena.size(200_000);
  await producer.fill(many, id, { uniqueMs: 60_000 });
  await producer.fill(many, id + many, { uniqueMs: 60_000, delayMs: 60_000 });
  const { purged } = await admin(arena).purgeTopic({ topic: "purge" }).response;
  arena.count("purged", purged);
  producer.stream.close();
});

/** Messages that are due at one moment, each with a delay of its own. */
const delayedToOneMoment: Attack = async (arena) => {
  const topic = "one-moment";
  const many = arena.size(50_000);
  let stored = 0;
  await rounds(async () => {
    const producer = await HostileProducer.open(arena, topic);
    const due = performance.now() + 3_000;
    for (let sent = 0; sent < many && arena.isOn; sent++) {
      const delayMs = Math.max(1, Math.round(due - performance.now()));
      await producer.send(batchOf(stored + sent, 1, 10), 1, { delayMs });
    }
    await producer.answered();
    // Rejected ones leave holes in the ids: those who count them later look only at how many there are.
    arena.count("delayed", producer.acknowledged);
    await pause(arena, Math.max(0, due + 100 - performance.now()));
    if (producer.rejected === 0) stored += producer.acknowledged;
    producer.stream.close();
    if (producer.rejected > 0 || stored > 2 * many) {
      await Bun.sleep(Math.max(0, due + 500 - performance.now()));
      const found = await drain(arena, topic);
      if (arena.keeps && producer.rejected === 0) arena.count("lost", stored - found);
      stored = 0;
    }
  })(arena);
  if (stored === 0) return;
  await Bun.sleep(3_500);
  const found = await drain(arena, topic);
  if (arena.keeps) arena.count("lost", stored - found);
};

/** The largest batches of messages without anything, and nobody consumes them for long. */
const emptyMessages = rounds(async (arena) => {
  const producer = await HostileProducer.open(arena, "empty-messages");
  const batch = batchOf(0, 8_192);
  for (let sent = 0; sent < arena.size(60) && arena.isOn; sent++) await producer.send(batch, 8_192);
  await producer.answered();
  arena.count("empty messages", producer.acknowledged);
  producer.stream.close();
  const consumer = await HostileConsumer.open(arena, "empty-messages");
  while ((await consumer.lease(65_536)) > 0) consumer.ack(consumer.delivered);
  consumer.stream.close();
});

/** Topics that are made and left, and producers that never come again. */
const comeAndGo: Attack = async (arena) => {
  let made = 0;
  await rounds(async () => {
    const producerId = crypto.getRandomValues(new Uint8Array(16));
    const isNew = made < arena.size(30_000);
    const topic = `tiny-${isNew ? made++ : arena.random.below(made)}`;
    if (isNew) arena.count("topics");
    const opening = Array.from({ length: 8 }, (_, each) => {
      const id = Uint8Array.from(producerId, (byte, at) => (at === 0 ? each : byte));
      return HostileProducer.open(arena, each === 0 ? topic : `come-${each}`, id);
    });
    for (const producer of await Promise.all(opening)) {
      await producer.send(BATCH, 1, { ttlMs: 1_000 });
      producer.stream.cut();
      arena.count("producers");
    }
  })(arena);
};
const BATCH = Uint8Array.of(0x0a, 0);

/** Retried until it dies, of as many deliveries as the server allows; the dead letters are rejected, too. */
const deathChain = rounds(async (arena) => {
  const topic = "chain";
  const producer = await HostileProducer.open(arena, topic);
  await producer.fill(arena.size(100_000));
  producer.stream.close();
  for (let round = 0; round < 4 && arena.isOn; round++) {
    const consumer = await HostileConsumer.open(arena, topic, EXCLUSIVE);
    const count = await consumer.lease(arena.size(100_000));
    const reason = "r".repeat(1_024);
    if (count > 0) consumer.settle({ position: 0, count, outcome: Outcome.RETRY, reason, delayMs: 0 });
    arena.count("retries", count);
    await pause(arena, 300);
    consumer.stream.cut();
    const dead = await HostileConsumer.open(arena, `${topic}.dead`, EXCLUSIVE);
    for (let held = await dead.lease(65_536); held > 0 && arena.isOn; held = await dead.lease(65_536)) {
      const settle = { position: dead.delivered - held, count: held, reason, delayMs: 0 };
      dead.settle({ ...settle, outcome: Outcome.REJECT });
      arena.count("dead letters", held);
    }
    dead.stream.close();
  }
});

export const PRODUCING = {
  uniqueIds,
  redrive,
  listTopics,
  purge,
  delayedToOneMoment,
  emptyMessages,
  comeAndGo,
  deathChain,
} satisfies Record<string, Attack>;
