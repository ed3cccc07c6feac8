/** Both at once: producers send while consumers take, every message acknowledged both ways. */
import { patience, requireAll, type Session } from "../harness/session.ts";
import { hasStyles, type Parameters, rates, type Sample, type Workload, withCpu } from "./workload.ts";

/** Where messages may be lost, at most this is sent and not received, in messages and in bytes of bodies. */
const AHEAD_MESSAGES = 16_384;
const AHEAD_BYTES = 2 * 1024 * 1024;

export const both: Workload = {
  key: "both",
  firstCount: 2_000,
  suits: ({ abilities }, parameters) =>
    (abilities.queue === true || abilities.lossy === true) &&
    hasStyles(abilities, parameters) &&
    (parameters.consumers === 1 || abilities.shared === true),
  run,
  seconds: (sample, count) => count / sample.perSecond!,
};

async function run(session: Session, parameters: Parameters, count: number): Promise<Sample> {
  const { size, producers, consumers, produceStyle, consumeStyle } = parameters;
  const { producer, consumer, subject } = session;
  const perProducer = Math.ceil(count / producers);
  const messages = perProducer * producers;
  const ahead = subject.abilities.lossy === true ? messagesAhead(size, 1) : null;
  const topic = { size, producers, consumers, consumeStyle, shared: consumers > 1 };
  return await session.withTopic(topic, async () => {
    consumer.onProgress = (received) => producer.credit(received);
    const before = session.cpu();
    const progressEvery = ahead === null ? null : Math.ceil(ahead / 4);
    const arriving = consumer.ask("consume", {
      size,
      producers,
      perProducer,

      progressEvery,
      ...patience(subject),
    });
    // Awaited below; where the producer fails, its error says more.
    arriving.catch(() => {});
    const produced = await producer.ask("pipelined", {
      size,
      count: perProducer,
      style: produceStyle,
      ahead,
    });
    const consumed = await arriving;
    const after = session.cpu();
    requireAll(subject, consumed);
    const micros = Math.max(consumed.endedAt, produced.endedAt) - produced.startedAt;
    const { missing, duplicates } = consumed.counts;
    return withCpu(
      { ...rates(messages - missing, size, micros), missing, duplicates },
      before,
      after,
      messages,
    );
  });
}

/** How far a producer may be ahead of the slowest of so many receivers, in messages. */
export function messagesAhead(size: number, receivers: number): number {
  const byBytes = Math.floor(AHEAD_BYTES / size / Math.min(4, receivers));
  return Math.max(16, Math.min(AHEAD_MESSAGES, byBytes));
}
