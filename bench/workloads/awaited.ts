/** One by one: each message is acknowledged before the next is sent. */
import type { LatencySummary } from "../../cli/bench/measuring/histogram.ts";
import { canPin, withPinned } from "../harness/pinning.ts";
import { patience, requireAll, type Session } from "../harness/session.ts";
import type { Parameters, Sample, Workload } from "./workload.ts";

/** Part of the messages that is sent before the recorded ones. */
const WARM_UP = 0.1;

export const awaitedOneByOne: Workload = {
  key: "awaited",
  firstCount: 300,
  // Only the target needs it; and peers may need more than one core.
  suits: ({ role }, { pinned }) => !pinned || (role !== "peer" && canPin()),
  run: (session, parameters, count) => {
    const work = (): Promise<Sample> => run(session, parameters, count);
    return parameters.pinned ? withPinned(session.server.pids, [session.producer.pid], work) : work();
  },
  seconds: (sample, count) => (sample.mean! * count) / 1e6,
};

async function run(session: Session, { size }: Parameters, count: number): Promise<Sample> {
  const { abilities } = session.subject;
  const task = { size, count, warmUp: Math.ceil(count * WARM_UP) };
  const began = performance.now();
  const expected = {
    size,
    producers: 1,
    perProducer: count,

    progressEvery: null,
    ...patience(session.subject),
  };
  if (abilities.lossy === true) {
    // Messages without a receiver are lost, so one receives at the same time.
    return await session.withTopic({ size }, async () => {
      const consumed = session.consumer.ask("consume", expected);
      const latency = await session.producer.ask("awaited", task);
      requireAll(session.subject, await consumed);
      return sampleOf(latency, began, count);
    });
  }
  return await session.withTopic({ size, consumers: 0 }, async (topic) => {
    const sample = sampleOf(await session.producer.ask("awaited", task), began, count);
    if (abilities.queue === true) {
      await session.consumer.ask("openConsumers", { ...topic, connections: 1 });
      requireAll(session.subject, await session.consumer.ask("consume", expected));
    }
    return sample;
  });
}

function sampleOf(latency: LatencySummary | null, began: number, count: number): Sample {
  const { p50, p99, p999, max } = latency!;
  return { p50, p99, p999, max, mean: ((performance.now() - began) * 1e3) / count };
}
