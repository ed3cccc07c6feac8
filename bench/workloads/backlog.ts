/** First all messages go in, pipelined, until all are acknowledged; then all come out, acknowledged. */
import { requireAll, type Session } from "../harness/session.ts";
import { hasStyles, type Parameters, rates, type Sample, type Workload, withCpu } from "./workload.ts";

export const backlog: Workload = {
  key: "backlog",
  firstCount: 2_000,
  suits: ({ abilities }, parameters) => abilities.queue === true && hasStyles(abilities, parameters),
  run,
  seconds: (sample, count) => count / Math.min(sample.producedPerSecond!, sample.consumedPerSecond!),
};

async function run(session: Session, parameters: Parameters, count: number): Promise<Sample> {
  const { size, produceStyle, consumeStyle } = parameters;
  const { producer, consumer } = session;
  return await session.withTopic({ size, consumeStyle, consumers: 0 }, async (topic) => {
    const start = session.cpu();
    const produced = await producer.ask("pipelined", { size, count, style: produceStyle, ahead: null });
    const between = session.cpu();
    await consumer.ask("openConsumers", { ...topic, connections: 1 });
    const opened = session.cpu();
    const expected = { size, producers: 1, perProducer: count, progressEvery: null };
    const consumed = await consumer.ask("consume", expected);
    const end = session.cpu();
    requireAll(session.subject, consumed);
    return {
      ...named("produced", rates(count, size, produced.endedAt - produced.startedAt), start, between, count),
      ...named("consumed", rates(count, size, consumed.endedAt - consumed.startedAt), opened, end, count),
    };
  });
}

type Cpu = ReturnType<Session["cpu"]>;

/** `producedPerSecond`, `producedServerCpu` and so on. */
function named(name: string, sample: Sample, before: Cpu, after: Cpu, count: number): Sample {
  const all = withCpu(sample, before, after, count);
  return Object.fromEntries(
    Object.entries(all).map(([key, value]) => [name + key[0]!.toUpperCase() + key.slice(1), value]),
  );
}
