/**
 * Mutated frames, a million and more, against the server's own frame handlers: sessions of both wires on
 * sockets of the test's own. Nothing may be thrown, nothing may hang, and nothing may be left behind.
 *
 * The sockets are strict: they throw when they are written to after their close, or closed twice.
 */
import { expect, test } from "bun:test";
import { Ack, ConnInit, ContentWrite, Poll } from "../../src/gen/tinymq/v0/message.ts";
import {
  Batch,
  ConsumeMode,
  ConsumeRequest,
  Delivery,
  Outcome,
  ProduceRequest,
  SubscribeRequest,
} from "../../src/gen/tinymq/v1/queue.ts";
import { idBytes, message } from "../support/clients.ts";
import { type Link, World } from "../support/world.ts";
import { LONG, newSeed, randomFrom } from "./until.ts";

const FRAMES = LONG ? 10_000_000 : 1_000_000;
/** A world is used so long; then everything ends, and it is looked at whether it gave all back. */
const FRAMES_A_WORLD = 50_000;
/** One frame may take as long as this, in ms: a garbage collection, or a core that others use. */
const LONGEST_FRAME_MS = 500;

const MiB = 1024 * 1024;
const LIMITS = { maxMemory: 8 * MiB, maxTopics: 50, maxProducers: 50, maxUniqueIds: 1_000, maxDeliveries: 3 };

const topic = (index: number) => `topic-${index}`;
const batch = Batch.toBinary({
  messages: [
    message(1, "one"),
    message(300, "x".repeat(200), { key: "value", other: "ü" }),
    message(2 ** 53 - 1, ""),
  ],
});
const big = Batch.toBinary({
  messages: Array.from({ length: 50 }, (_, id) => message(id, "body ".repeat(30))),
});

const openProduce = (index: number) => {
  const open = {
    topic: topic(index),
    token: "",
    delivery: Delivery.QUEUE,
    producerId: idBytes(index),
    firstSeq: 1,
    instance: "",
  };
  return ProduceRequest.toBinary({ kind: { oneofKind: "open", open } });
};
const produce = (
  seq: number,
  messages: Uint8Array,
  options: Partial<Record<"delayMs" | "ttlMs" | "uniqueMs", number>> = {},
) =>
  ProduceRequest.toBinary({
    kind: { oneofKind: "batch", batch: { seq, messages, delayMs: 0, ttlMs: 0, uniqueMs: 0, ...options } },
  });
const openConsume = (index: number, mode: ConsumeMode) => {
  const open = { topic: topic(index), token: "", mode, consumerId: idBytes(index) };
  return ConsumeRequest.toBinary({ kind: { oneofKind: "open", open } });
};
const consume = (kind: ConsumeRequest["kind"]) => ConsumeRequest.toBinary({ kind });
const settle = { position: 0, count: 1, outcome: Outcome.REJECT, reason: "a reason", delayMs: 5 };

const finish = { oneofKind: "finish", finish: {} } as const;
const FINISH = {
  produce: ProduceRequest.toBinary({ kind: finish }),
  consume: consume(finish),
  subscribe: SubscribeRequest.toBinary({ kind: finish }),
};

type Method = "Produce" | "Consume" | "Subscribe" | "v0";

/** What each kind of connection is sent: a valid open frame first, and then frames that are valid as well. */
const CONVERSATIONS: readonly { method: Method; open: Uint8Array; next(at: number): Uint8Array }[] = [
  {
    method: "Produce",
    open: openProduce(1),
    next: (seq) =>
      isLast(seq) ? FINISH.produce : produce(seq, batch, seq % 3 === 0 ? { ttlMs: 20, uniqueMs: 99 } : {}),
  },
  {
    method: "Produce",
    open: openProduce(2),
    next: (seq) => produce(seq, big, seq % 2 === 0 ? { delayMs: 50 } : {}),
  },
  {
    method: "Consume",
    open: openConsume(1, ConsumeMode.EXCLUSIVE),
    next: cycle(
      [
        consume({
          oneofKind: "pull",
          pull: {
            pullId: 1,
            maxMessages: 10,
            maxBytes: 500,
            waitMs: 0,
            settles: [],
            ack: { count: 0 },
            handed: { count: 1 },
          },
        }),
        consume({ oneofKind: "handed", handed: { count: 1 } }),
        consume({ oneofKind: "ack", ack: { count: 1 } }),
        consume({ oneofKind: "settle", settle: { ...settle, position: 0, outcome: Outcome.RETRY } }),
        consume({ oneofKind: "rewind", rewind: { position: 0, reason: "again", delayMs: 3 } }),
        consume({ oneofKind: "handed", handed: { count: 0 } }),
      ],
      FINISH.consume,
    ),
  },
  {
    method: "Consume",
    open: openConsume(2, ConsumeMode.SHARED),
    next: cycle(
      [
        consume({
          oneofKind: "pull",
          pull: { pullId: 1, maxMessages: 3, maxBytes: 0, waitMs: 9, settles: [{ ...settle, position: 0 }] },
        }),
        consume({ oneofKind: "settle", settle: { ...settle, position: 0 } }),
        consume({ oneofKind: "handed", handed: { count: 1 } }),
      ],
      FINISH.consume,
    ),
  },
  {
    method: "Subscribe",
    open: SubscribeRequest.toBinary({ kind: { oneofKind: "open", open: { topic: topic(1), token: "" } } }),
    next: cycle(
      [SubscribeRequest.toBinary({ kind: { oneofKind: "heartbeat", heartbeat: {} } })],
      FINISH.subscribe,
    ),
  },
  {
    method: "v0",
    open: ConnInit.toBinary({ role: 1, topic: topic(3) }),
    next: cycle([ContentWrite.toBinary({ id: 7, topic: topic(3), body: new Uint8Array(20) })]),
  },
  {
    method: "v0",
    open: ConnInit.toBinary({ role: 2, topic: topic(3) }),
    next: cycle([Poll.toBinary({ topic: topic(3) }), Ack.toBinary({ id: 7 })]),
  },
];

function cycle(frames: readonly Uint8Array[], finish?: Uint8Array): (at: number) => Uint8Array {
  return (at) => (finish !== undefined && isLast(at) ? finish : frames[at % frames.length]!);
}

/** Now and then a client says that it means to end: what is sent behind that ends its connection. */
function isLast(at: number): boolean {
  return at % 20 === 19;
}

type Random = () => number;
const INTERESTING = [0x00, 0x7f, 0x80, 0xff, 0x0a, 0x12, 0x1a, 0x22, 0x2a, 0x08];

/** The frame with one to four mutations: bytes changed, cut, doubled, moved in from another frame. */
function mutate(frame: Uint8Array, other: Uint8Array, random: Random): Uint8Array {
  let bytes = frame;
  for (let left = random() < 0.7 ? 1 : 1 + Math.floor(random() * 4); left > 0; left--)
    bytes = mutateOnce(bytes, other, random);
  return bytes;
}

function mutateOnce(frame: Uint8Array, other: Uint8Array, random: Random): Uint8Array {
  const at = Math.floor(random() * frame.length);
  const bytes = frame.slice();
  switch (Math.floor(random() * 8)) {
    case 0:
      if (bytes.length > 0) bytes[at]! ^= 1 << Math.floor(random() * 8);
      return bytes;
    case 1:
      if (bytes.length > 0) bytes[at] = Math.floor(random() * 256);
      return bytes;
    case 2:
      if (bytes.length > 0) bytes[at] = INTERESTING[Math.floor(random() * INTERESTING.length)]!;
      return bytes;
    case 3:
      return bytes.subarray(0, at);
    case 4:
      return Buffer.concat([bytes, bytes.subarray(at)]);
    case 5:
      return Buffer.concat([
        bytes.subarray(0, at),
        Uint8Array.of(Math.floor(random() * 256)),
        bytes.subarray(at),
      ]);
    case 6:
      return Buffer.concat([bytes.subarray(0, at), other.subarray(Math.floor(random() * other.length))]);
    default: {
      // A number that takes all the bytes that a number may take.
      const long = Uint8Array.from({ length: 9 }, () => 0x80 | Math.floor(random() * 128));
      return Buffer.concat([bytes.subarray(0, at), long, Uint8Array.of(1), bytes.subarray(at + 1)]);
    }
  }
}

interface Open {
  readonly link: Link;
  readonly conversation: (typeof CONVERSATIONS)[number];
  /** Frames that it was sent. */
  sent: number;
}

/** A connection; most have had their open frame, the others have it mutated. */
function open(world: World, random: Random): Open {
  const conversation = CONVERSATIONS[Math.floor(random() * CONVERSATIONS.length)]!;
  const { method } = conversation;
  const link = method === "v0" ? world.connectFirstVersion(`/${topic(3)}`) : world.connect(method);
  if (random() < 0.2) return { link, conversation, sent: 0 };
  link.receive(conversation.open);
  return { link, conversation, sent: 1 };
}

interface Tally {
  frames: number;
  refused: number;
  survived: number;
  slowest: number;
}

/** Feeds one world, and takes it down again. */
function fuzzWorld(random: Random, tally: Tally): void {
  const world = new World(LIMITS);
  let all: Open[] = [];
  for (let count = 0; count < FRAMES_A_WORLD; count++) {
    if (all.length < 6) all.push(open(world, random));
    const one = all[Math.floor(random() * all.length)]!;
    const { link, conversation } = one;
    const other = CONVERSATIONS[Math.floor(random() * CONVERSATIONS.length)]!.open;
    // Valid ones in between, so that there is something to break.
    if (one.sent > 0 && link.socket.closed === null && random() < 0.5) {
      link.receive(conversation.next(one.sent));
      one.sent += 1;
    }
    const valid = one.sent === 0 ? conversation.open : conversation.next(one.sent);
    const frame = mutate(valid, other, random);
    one.sent += 1;
    const begun = performance.now();
    link.receive(frame);
    tally.slowest = Math.max(tally.slowest, performance.now() - begun);
    tally.frames += 1;
    if (link.socket.closed === null) {
      tally.survived += 1;
      if (random() < 0.02) link.end(random() < 0.5 ? 1000 : 1006);
    } else {
      tally.refused += 1;
      link.end(link.socket.closed.code);
    }
    all = all.filter(({ link }) => world.links.has(link));
    if (count % 500 === 0) {
      world.clock.advance(Math.floor(random() * 100));
      world.events.length = 0;
      world.misbehaviour.length = 0;
    }
    if (world.broker.memoryUsed > LIMITS.maxMemory) {
      // What is kept of messages that are there (who holds them, until when) is charged, and asks for no room.
      expect(world.broker.memoryUsed).toBeLessThan(1.1 * LIMITS.maxMemory);
    }
  }
  for (const { link } of all) link.end(1006);
  checkGivenBack(world);
}

/** When all connections ended and all times are over, nothing is left. */
function checkGivenBack(world: World): void {
  expect(world.failures).toEqual([]);
  world.checkMemory();
  expect(world.broker.topics.size).toBeLessThanOrEqual(LIMITS.maxTopics);
  for (const each of world.broker.topics.values()) {
    // Those that find no room among the dead letters are held by nobody, and delivered to nobody.
    let dying = 0;
    for (const { first, end } of each.returns.deaths ?? []) dying += end - first;
    const { leased } = each.backlog;
    expect({ topic: each.name, leased, users: each.users }).toEqual({
      topic: each.name,
      leased: dying,
      users: 0,
    });
    each.purge();
  }
  // Producers and ids are remembered for a while; empty topics stay for a while behind that.
  const CENTURY = 100 * 366 * 86_400_000;
  for (let year = 0; year < 3; year++) world.clock.advance(CENTURY);
  expect([...world.broker.topics.keys()]).toEqual([]);
  expect(world.broker.memoryUsed).toBe(0);
  expect(world.broker.shared.remembered).toEqual({ producers: 0, uniqueIds: 0 });
  expect(world.broker.shared.noted).toEqual({ pieceBytes: 0, refusalBytes: 0, refusers: 0 });
  expect(world.outboundBuffers.total).toBe(0);
}

test("a million mutated frames: no crash, no hang, nothing left behind", () => {
  const seed = newSeed();
  console.log(`seed ${seed}`);
  const random = randomFrom(seed);
  const tally: Tally = { frames: 0, refused: 0, survived: 0, slowest: 0 };
  const begun = performance.now();
  let warm = 0;
  while (tally.frames < FRAMES) {
    fuzzWorld(random, tally);
    // What the first worlds left is code that was compiled, and buffers that are used again.
    if (tally.frames === 4 * FRAMES_A_WORLD) warm = liveHeap();
  }
  const grown = liveHeap() - warm;
  const seconds = (performance.now() - begun) / 1000;
  console.log(
    `${tally.frames} frames in ${seconds.toFixed(1)} s: ${tally.refused} ended their connection, ` +
      `${tally.survived} did not; slowest ${tally.slowest.toFixed(1)} ms; heap grew by ${Math.round(grown / 1024)} KiB`,
  );
  expect(tally.slowest).toBeLessThan(LONGEST_FRAME_MS);
  expect(grown).toBeLessThan(8 * MiB);
  // Or the mutations are too wild, or too tame, to reach anything.
  expect(tally.refused).toBeGreaterThan(FRAMES / 10);
  expect(tally.survived).toBeGreaterThan(FRAMES / 20);
}, 600_000);

function liveHeap(): number {
  Bun.gc(true);
  return process.memoryUsage().heapUsed;
}
