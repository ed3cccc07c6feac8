/** A thread of a bench, with its producers or its consumers. Does what the main thread asks for. */
import { bytes, Consumer, Producer, toTinyMQError } from "../../src/index.ts";
import { clientOptions } from "../target.ts";
import { Board } from "./board.ts";
import { Body, stampDecoder } from "./body.ts";
import { nowMicros } from "./clock.ts";
import { Histogram } from "./histogram.ts";
import type { Answer, FromThread, Phase, Request, Sent, Setup } from "./protocol.ts";
import { Receiver } from "./receiver.ts";
import { Sender } from "./sender.ts";

/** The part of a worker's global object that is used here. */
declare const self: { onmessage: (event: { data: Request }) => void; postMessage(data: FromThread): void };

/** One side's work. */
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
  const board = new Board(setup.producers, setup.consumers, setup.board);
  const body = new Body(size);
  const options = { ...clientOptions(target), codec: bytes };
  const producers = numbers.map(() => new Producer(target.host, target.port, topic, options));
  await Promise.all(producers.map((producer) => producer.initConn()));
  const senders = producers.map((producer, index) => new Sender(producer, numbers[index]!, body, board));
  return {
    async begin(phase) {
      const cpu = measureCpu();
      const active = senders.filter((_, index) => numbers[index]! < phase.active);
      return mergeSent(await Promise.all(active.map((sender) => sender.run(phase))), cpu());
    },
    collect: () => null,
    async close() {
      await Promise.all(producers.map((producer) => producer.close()));
    },
  };
}

async function openConsumers({ target, topic, size, numbers, ...setup }: Setup): Promise<Clients> {
  const receiver = new Receiver(new Board(setup.producers, setup.consumers, setup.board));
  const mode = setup.consumers > 1 ? ("shared" as const) : ("exclusive" as const);
  const options = { ...clientOptions(target), codec: stampDecoder(size), mode };
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

function mergeSent(parts: Omit<Sent, "cpu">[], cpu: number | null): Sent {
  const latency = new Histogram();
  for (const part of parts) latency.add(part.latency);
  return {
    startedAt: Math.min(...parts.map(({ startedAt }) => startedAt)),
    endedAt: Math.max(...parts.map(({ endedAt }) => endedAt)),
    stored: parts.reduce((sum, { stored }) => sum + stored, 0),
    retried: parts.reduce((sum, { retried }) => sum + retried, 0),
    latency,
    cpu,
  };
}

/** From now to the call of what it returns: the part of the time in which this thread used a CPU. */
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
