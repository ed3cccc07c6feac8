/** The program of a client process: holds the connections of one side of a workload and does what the bench asks for. */
import { setTimeout as sleep } from "node:timers/promises";
import { nowMicros } from "../../cli/bench/measuring/clock.ts";
import { Histogram } from "../../cli/bench/measuring/histogram.ts";
import { subjectByKey } from "../subjects.ts";
import { Bodies } from "./bodies.ts";
import type {
  Consumed,
  ConsumeTask,
  FromClientProcess,
  PipelinedTask,
  Request,
  ToClientProcess,
  Verbs,
} from "./client-protocol.ts";
import { awaited, grouped, Lead, paced, pipelined } from "./drive.ts";
import { Sink } from "./sink.ts";
import type { BenchConsumer, BenchProducer, Client, OpenOptions } from "./subject.ts";

/** Connections that are opened at once. */
const OPEN_AT_ONCE = 32;
const FIRST_ACK_RETRY_MS = 2;
/** How often a `Watch` looks whether messages still arrive, in ms. */
const WATCH_MS = 50;
/** By producer and size. Kept over the runs, so that making them is no part of a run. */
const bodiesInUse = new Map<string, Bodies>();

let client: Client | undefined;
let producers: BenchProducer[] = [];
let consumers: BenchConsumer[] = [];
let fanOut = false;
let lead = new Lead();

type Handlers = { [V in keyof Verbs]: (task: Verbs[V]["takes"]) => Promise<Verbs[V]["gives"]> };

const handlers: Handlers = {
  async connect({ subject, target }) {
    await client?.close();
    client = await subjectByKey(subject).connect(target);
    return null;
  },
  async prepare(options) {
    await opened().prepare?.(options);
    return null;
  },
  async remove(options) {
    await opened().remove?.(options);
    return null;
  },
  async openProducers({ connections, ...options }) {
    producers.push(...(await openMany(connections, () => opened().producer(options))));
    return null;
  },
  async openConsumers({ connections, ...options }) {
    const open = opened().consumer;
    if (open === undefined) throw new Error("this subject has no consumers");
    fanOut = options.fanOut;
    consumers.push(...(await openMany(connections, () => open.call(client, options))));
    return null;
  },
  nameTopics,
  async closeAll() {
    const all = [...producers, ...consumers];
    producers = [];
    consumers = [];
    for (let at = 0; at < all.length; at += OPEN_AT_ONCE) {
      await Promise.all(all.slice(at, at + OPEN_AT_ONCE).map((one) => one.close()));
    }
    return null;
  },
  awaited: ({ size, count, warmUp }) => awaited(producers[0]!, bodiesOf(0, size), count, warmUp),
  pipelined: pipelineAll,
  paced: ({ size, rate, count }) => paced(producers[0]!, bodiesOf(0, size), rate, count),
  consume: consumeAll,
  firstAck,
};

async function pipelineAll({ size, count, style, ahead, first = 0 }: PipelinedTask) {
  const leads = producers.map(() => new Lead(ahead ?? undefined));
  lead = leads[0]!;
  const spans = await Promise.all(
    producers.map((producer, index) => {
      const bodies = bodiesOf(index, size);
      if (style === "groups") return grouped(producer, bodies, first, count);
      return pipelined(producer, bodies, {
        count,
        first,
        style,
        lead: leads[index]!,
        sharedBy: producers.length,
      });
    }),
  );
  return {
    startedAt: Math.min(...spans.map((span) => span.startedAt)),
    endedAt: Math.max(...spans.map((span) => span.endedAt)),
  };
}

async function nameTopics({ prefix, from, to, size }: Verbs["nameTopics"]["takes"]): Promise<null> {
  let next = from;
  const options = { size, shared: false, fanOut: false, consumeStyle: "stream" as const };
  const name = async (): Promise<void> => {
    while (next < to) {
      const producer = await opened().producer({ ...options, topic: `${prefix}${next++}` });
      await producer.close();
    }
  };
  await Promise.all(Array.from({ length: OPEN_AT_ONCE }, name));
  return null;
}

async function consumeAll(task: ConsumeTask): Promise<Consumed> {
  const latency = new Histogram();
  const { progressEvery, giveUpAfterMs, ...expected } = task;
  const slowest = new Slowest(fanOut ? consumers.length : 1);
  const makeSink = (index: number): Sink =>
    new Sink({
      ...expected,
      latency,
      progressEvery: progressEvery ?? undefined,
      progress: progressEvery === null ? undefined : (received) => slowest.report(index, received),
    });
  const shared = makeSink(0);
  const sinks = fanOut ? [shared, ...consumers.slice(1).map((_, index) => makeSink(index + 1))] : [shared];
  const startedAt = nowMicros();
  const watch = giveUpAfterMs === undefined ? undefined : new Watch(sinks, giveUpAfterMs);
  // A consumer that still waits when the last message has arrived is waited for, and does not count.
  const ends = new Map<Sink, number>();
  await Promise.all(
    consumers.map(async (consumer, index) => {
      const sink = sinks[index] ?? shared;
      await consumer.consume(sink);
      if (!ends.has(sink)) ends.set(sink, nowMicros());
    }),
  );
  const endedAt = watch?.end() ?? Math.max(...ends.values());
  const counts = { received: 0, duplicates: 0, missing: 0, damaged: 0 };
  for (const sink of sinks) {
    const one = sink.counts();
    for (const key of Object.keys(counts) as (keyof typeof counts)[]) counts[key] += one[key];
  }
  return { startedAt, endedAt, counts, latency: latency.summary(), copies: sinks.length };
}

/** Gives up on messages that were lost. */
class Watch {
  readonly #timer: ReturnType<typeof setInterval>;
  #received = 0;
  #lastAt = nowMicros();
  #gaveUp = false;

  constructor(sinks: readonly Sink[], giveUpAfterMs: number) {
    this.#timer = setInterval(() => {
      const received = sinks.reduce((sum, sink) => sum + sink.received, 0);
      if (received !== this.#received) this.#lastAt = nowMicros();
      this.#received = received;
      if (nowMicros() - this.#lastAt < giveUpAfterMs * 1_000) return;
      this.#gaveUp = true;
      for (const sink of sinks) sink.giveUp();
      // And the producer no longer waits for receivers.
      send({ progress: Number.MAX_SAFE_INTEGER });
    }, WATCH_MS);
  }

  /** Stops watching; when the last message arrived, in µs, if the rest was given up. */
  end(): number | undefined {
    clearInterval(this.#timer);
    return this.#gaveUp ? this.#lastAt : undefined;
  }
}

/** Tells the bench how many messages the slowest receiver has, whenever that grew. */
class Slowest {
  readonly #counts: number[];
  #reported = 0;

  constructor(receivers: number) {
    this.#counts = new Array<number>(receivers).fill(0);
  }

  report(index: number, received: number): void {
    this.#counts[index] = received;
    const slowest = Math.min(...this.#counts);
    if (slowest <= this.#reported) return;
    this.#reported = slowest;
    send({ progress: slowest });
  }
}

async function firstAck(options: OpenOptions): Promise<{ at: number }> {
  while (true) {
    try {
      await opened().prepare?.(options);
      const producer = await opened().producer(options);
      await producer.send(bodiesOf(0, options.size), 0);
      const at = nowMicros();
      await producer.close();
      return { at };
    } catch {
      // The server is not ready yet; the bench limits how long this may take.
      await sleep(FIRST_ACK_RETRY_MS);
    }
  }
}

function bodiesOf(producer: number, size: number): Bodies {
  const key = `${producer}/${size}`;
  const found = bodiesInUse.get(key) ?? new Bodies(producer, size);
  bodiesInUse.set(key, found);
  found.intended = 0;
  return found;
}

function opened(): Client {
  if (client === undefined) throw new Error("not connected");
  return client;
}

async function openMany<T>(count: number, open: () => Promise<T>): Promise<T[]> {
  const all: T[] = [];
  while (all.length < count) {
    const now = Math.min(OPEN_AT_ONCE, count - all.length);
    all.push(...(await Promise.all(Array.from({ length: now }, open))));
  }
  return all;
}

function send(message: FromClientProcess): void {
  process.send?.(message);
}

async function answer({ id, verb, task }: Request): Promise<void> {
  try {
    const handler = handlers[verb] as (task: unknown) => Promise<unknown>;
    send({ id, result: await handler(task) });
  } catch (error) {
    send({ id, error: error instanceof Error ? (error.stack ?? error.message) : String(error) });
  }
}

process.on("message", (message: ToClientProcess) => {
  if ("credit" in message) lead.received(message.credit);
  else if ("bye" in message) process.exit(0);
  else void answer(message);
});
// The bench has ended.
process.on("disconnect", () => process.exit(1));
send({ ready: true });
