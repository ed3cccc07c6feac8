/** Every message goes to every subscriber; deliveries are counted. */
import { patience, requireAll, type Session } from "../harness/session.ts";
import { messagesAhead } from "./both.ts";
import { type Parameters, rates, type Sample, type Workload, withCpu } from "./workload.ts";

export const fanOut: Workload = {
  key: "fan-out",
  firstCount: 200,
  suits: ({ abilities }) => abilities.fanOut === true,
  run,
  seconds: (sample, count) => count / sample.publishedPerSecond!,
};

async function run(session: Session, parameters: Parameters, count: number): Promise<Sample> {
  const { size, consumers } = parameters;
  const { producer, consumer } = session;
  const ahead = messagesAhead(size, consumers);
  return await session.withTopic({ size, consumers, fanOut: true }, async () => {
    consumer.onProgress = (received) => producer.credit(received);
    const before = session.cpu();
    const expected = { size, producers: 1, perProducer: count, ...patience(session.subject) };
    const arriving = consumer.ask("consume", { ...expected, progressEvery: Math.ceil(ahead / 4) });
    arriving.catch(() => {});
    const produced = await producer.ask("pipelined", { size, count, style: "send", ahead });
    const consumed = await arriving;
    const after = session.cpu();
    requireAll(session.subject, consumed);
    const micros = Math.max(consumed.endedAt, produced.endedAt) - produced.startedAt;
    const { missing } = consumed.counts;
    const delivered = count * consumed.copies - missing;
    return {
      ...withCpu(rates(delivered, size, micros), before, after, delivered),
      publishedPerSecond: (count * 1e6) / micros,
      missing,
    };
  });
}
