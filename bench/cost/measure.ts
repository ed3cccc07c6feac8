/** What several measurements of costs use. */
import { Session, type TopicOptions } from "../harness/session.ts";
import type { RunningServer, Subject } from "../harness/subject.ts";

/** Does `work` with a new server of the subject, and ends it. */
export async function withServer<T>(
  subject: Subject,
  work: (session: Session, server: RunningServer) => Promise<T>,
): Promise<T> {
  const server = await subject.start();
  try {
    const session = await Session.open(subject, "bun", server);
    try {
      return await work(session, server);
    } finally {
      await session.close();
    }
  } finally {
    await server.stop();
  }
}

/** Puts messages `first` to `first + count - 1` into a topic, and closes the producer. */
export async function fill(session: Session, topic: TopicOptions, count: number, first = 0): Promise<void> {
  const { producers: _producers, consumers: _consumers, ...open } = topic;
  if (first === 0) await session.producer.ask("prepare", open);
  await session.producer.ask("openProducers", { ...open, connections: 1 });
  const style = session.subject.abilities.produceStyles?.[0] ?? "send";
  await session.producer.ask("pipelined", { size: topic.size, count, style, ahead: null, first });
  await session.producer.ask("closeAll", null);
}

/** Takes them out again, and returns what arrived. */
export async function drain(session: Session, topic: TopicOptions, count: number, first = 0) {
  const { producers: _producers, consumers: _consumers, ...open } = topic;
  await session.consumer.ask("openConsumers", { ...open, connections: 1 });
  const task = {
    size: topic.size,
    producers: 1,
    perProducer: count,

    progressEvery: null,
    first,
  };
  const consumed = await session.consumer.ask("consume", task);
  await session.consumer.ask("closeAll", null);
  return consumed;
}

/** The values of several figures, one of each figure in a run. */
export class Series {
  readonly #values = new Map<string, number[]>();

  add(key: string, value: number): void {
    const values = this.#values.get(key) ?? [];
    values.push(value);
    this.#values.set(key, values);
  }

  entries(): [key: string, values: number[]][] {
    return [...this.#values];
  }
}
