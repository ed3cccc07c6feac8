/** A worker thread of a benchmark, with its producers or its consumers. Does what the main thread asks for. */
import { bytes, Consumer, type Decoder, Producer, toTinyMQError } from "../../src/index.ts";
import { clientOptions } from "../target.ts";
import { Body, BodyReader } from "./measuring/body.ts";
import { nowMicros } from "./measuring/clock.ts";
import { Histogram } from "./measuring/histogram.ts";
import type { Answer, FromWorker, Phase, Production, Request, Sent, Setup } from "./protocol.ts";
import { Receiver } from "./receiver.ts";
import { Sender } from "./sender.ts";
import { SharedCounts } from "./shared-counts.ts";

/** The part of a worker's global object that is used here. */
declare const self: { onmessage: (event: { data: Request }) => void; postMessage(data: FromWorker): void };

/** The producers or the consumers of this worker. */
interface Clients {
  begin(phase: Phase): Promise<Answer>;
  collect(): Answer;
  close(): Promise<void>;
}

let clients: Clients | undefined;

self.onmessage = async ({ data: request }) => {
  try {
    self.postMessage({ answer: await obey(request) });
  } catch (error) {
    fail(error);
  }
};

async function obey(request: Request): Promise<Answer> {
  switch (request.kind) {
    case "open": {
      const open = request.setup.role === "producers" ? openProducers : openConsumers;
      clients = await open(request.setup);
      return null;
    }
    case "begin":
      return await clients!.begin(request.phase);
    case "collect":
      return clients!.collect();
    case "close":
      await clients?.close();
      return null;
  }
}

function fail(thrown: unknown): void {
  const { code, message } = toTinyMQError(thrown);
  self.postMessage({ failed: { code, message } });
}

async function openProducers({ target, topic, size, numbers, ...setup }: Setup): Promise<Clients> {
  const counts = new SharedCounts(setup.producers, setup.consumers, setup.counts);
  const body = new Body(new Uint8Array(size));
  const options = { ...clientOptions(target), codec: bytes };
  const producers = numbers.map(() => new Producer(target.host, target.port, topic, options));
  await Promise.all(producers.map((producer) => producer.initConn()));
  const senders = producers.map((producer, index) => new Sender(producer, numbers[index]!, body, counts));
  return {
    async begin(phase) {
      const cpu = measureCpu();
      const active = senders.filter((_, index) => numbers[index]! < phase.producers);
      return {
        ...sumOf(await Promise.all(active.map((sender) => sender.run(phase)))),
        cpu: cpu(),
      } satisfies Sent;
    },
    collect: () => null,
    async close() {
      await Promise.all(producers.map((producer) => producer.close()));
    },
  };
}

async function openConsumers({ target, topic, size, numbers, ...setup }: Setup): Promise<Clients> {
  const receiver = new Receiver(new SharedCounts(setup.producers, setup.consumers, setup.counts));
  const mode = setup.consumers > 1 ? ("shared" as const) : ("exclusive" as const);
  const reader = new BodyReader(size);
  const codec: Decoder<number> = { decode: (encoded) => reader.time(encoded.bytes()) };
  const options = { ...clientOptions(target), codec, mode };
  const consumers = numbers.map(() => new Consumer(target.host, target.port, topic, options));
  await Promise.all(consumers.map((consumer) => consumer.initConn()));
  const loops = consumers.map((consumer, index) => receiver.receive(consumer, numbers[index]!).catch(fail));
  let cpu = measureCpu();
  return {
    async begin(phase) {
      receiver.begin(phase);
      cpu = measureCpu();
      return null;
    },
    collect: () => ({ ...receiver.collect(), cpu: cpu() }),
    async close() {
      await Promise.all(consumers.map((consumer) => consumer.close()));
      await Promise.all(loops);
    },
  };
}

function sumOf(parts: readonly Production[]): Production {
  const latency = new Histogram();
  for (const part of parts) latency.add(part.latency);
  return {
    startedAt: Math.min(...parts.map(({ startedAt }) => startedAt)),
    endedAt: Math.max(...parts.map(({ endedAt }) => endedAt)),
    stored: parts.reduce((sum, { stored }) => sum + stored, 0),
    retried: parts.reduce((sum, { retried }) => sum + retried, 0),
    latency,
  };
}

/** The part of the time, from now to the call of what it returns, in which this thread used a CPU. */
function measureCpu(): () => number | null {
  // Neither in Bun 1.3 nor in the types of 1.4.
  const { threadCpuUsage } = process as { threadCpuUsage?: () => NodeJS.CpuUsage };
  if (threadCpuUsage === undefined) return () => null;
  const used = (): number => {
    const { user, system } = threadCpuUsage.call(process);
    return user + system;
  };
  const usedBefore = used();
  const before = nowMicros();
  return () => Math.min(1, (used() - usedBefore) / Math.max(1, nowMicros() - before));
}
