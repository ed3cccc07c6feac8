/**
 * One subject under measurement with clients of one runtime: its server, a process for producers and one
 * for consumers. They stay for all runs, so that only the warm-up meets cold code.
 */
import { ClientProcess } from "./client-process.ts";
import type { Consumed } from "./client-protocol.ts";
import { cpuMicros } from "./process-cost.ts";
import { profileFlags } from "./profile.ts";
import { HOST } from "./server-process.ts";
import type { OpenOptions, RunningServer, Runtime, Subject } from "./subject.ts";

let topics = 0;

/** CPU time of a run, in µs. */
export interface CpuTimes {
  server: number;
  producer: number;
  consumer: number;
}

export class Session {
  readonly subject: Subject;
  readonly runtime: Runtime;
  readonly server: RunningServer;
  readonly producer: ClientProcess;
  readonly consumer: ClientProcess;

  private constructor(
    subject: Subject,
    runtime: Runtime,
    server: RunningServer,
    producer: ClientProcess,
    consumer: ClientProcess,
  ) {
    this.subject = subject;
    this.runtime = runtime;
    this.server = server;
    this.producer = producer;
    this.consumer = consumer;
  }

  /** `server`: one that runs already, and that the caller stops. */
  static async open(
    subject: Subject,
    runtime: Runtime,
    server: RunningServer,
    port = server.port,
  ): Promise<Session> {
    const target = { host: HOST, port, module: subject.clientModule?.(runtime) };
    const flags = subject.role === "tinymq" ? profileFlags() : [];
    const [producer, consumer] = await Promise.all([
      ClientProcess.start(runtime, flags),
      ClientProcess.start(runtime, flags),
    ]);
    const session = new Session(subject, runtime, server, producer, consumer);
    const task = { subject: subject.sameClientAs ?? subject.key, target };
    await Promise.all([producer.ask("connect", task), consumer.ask("connect", task)]);
    return session;
  }

  /** Opens both sides on a topic of its own, does `work`, and closes and removes what was opened. */
  async withTopic<T>(options: Partial<TopicOptions>, work: (topic: TopicOptions) => Promise<T>): Promise<T> {
    const topic: TopicOptions = {
      topic: `bench-${process.pid}-${topics++}`,
      size: 128,
      shared: false,
      fanOut: false,
      consumeStyle: "stream",
      producers: 1,
      consumers: 1,
      ...options,
    };
    const { producers, consumers, ...open } = topic;
    await this.producer.ask("prepare", open);
    try {
      if (consumers > 0) await this.consumer.ask("openConsumers", { ...open, connections: consumers });
      if (producers > 0) await this.producer.ask("openProducers", { ...open, connections: producers });
      return await work(topic);
    } finally {
      await Promise.all([this.producer.ask("closeAll", null), this.consumer.ask("closeAll", null)]);
      await this.producer.ask("remove", open);
    }
  }

  /** CPU time that each process has used so far. */
  cpu(): CpuTimes {
    return {
      server: cpuMicros(this.server.pids),
      producer: cpuMicros([this.producer.pid]),
      consumer: cpuMicros([this.consumer.pid]),
    };
  }

  /** Ends the client processes, not the server. */
  async close(): Promise<void> {
    await Promise.all([this.producer.stop(), this.consumer.stop()]);
  }
}

export interface TopicOptions extends OpenOptions {
  /** Connections on each side. */
  producers: number;
  consumers: number;
}

export function cpuBetween(before: CpuTimes, after: CpuTimes): CpuTimes {
  return {
    server: after.server - before.server,
    producer: after.producer - before.producer,
    consumer: after.consumer - before.consumer,
  };
}

/** Where messages may be lost, missing ones are given up when none arrived for this long. */
const GIVE_UP_MS = 2_000;

/** The part of a consume task that says how long to wait for messages that may be lost. */
export function patience({ abilities }: Subject): { giveUpAfterMs?: number } {
  return abilities.lossy === true ? { giveUpAfterMs: GIVE_UP_MS } : {};
}

/** Throws if a message is missing (unless the subject may lose it), damaged, or a duplicate (unless it may deliver twice). */
export function requireAll(subject: Subject, consumed: Consumed): void {
  const { missing, duplicates, damaged, received } = consumed.counts;
  const twice = subject.atLeastOnce ? 0 : duplicates;
  const lost = subject.abilities.lossy === true ? 0 : missing;
  if (lost + twice + damaged === 0) return;
  const found = `${received} received, ${missing} missing, ${duplicates} twice, ${damaged} damaged`;
  throw new Error(`${subject.name} did not deliver every message exactly once: ${found}`);
}
