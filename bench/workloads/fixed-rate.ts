/** Latency at a fixed rate: an open loop, timed from when each message was meant to be sent. */
import { patience, requireAll, type Session } from "../harness/session.ts";
import { type Parameters, type Sample, type Workload, withCpu } from "./workload.ts";

/** A subject that ends later than planned by more than this is saturated: a part of the time, and some µs more. */
const BEHIND_PART = 0.05;
const BEHIND_MICROS = 20_000;

export const fixedRate: Workload = {
  key: "rate",
  firstCount: 200,
  suits: ({ role, abilities }) => role === "control" || abilities.queue === true || abilities.lossy === true,
  run,
  fixedCount: ({ rate }, seconds) => rate * seconds,
  seconds: (_sample, count) => count,
};

async function run(session: Session, { size, rate }: Parameters, count: number): Promise<Sample> {
  if (session.subject.role === "control") return await echoed(session, size, rate, count);
  const { producer, consumer } = session;
  return await session.withTopic({ size }, async () => {
    const before = session.cpu();
    const expected = {
      size,
      producers: 1,
      perProducer: count,

      progressEvery: null,
      ...patience(session.subject),
    };
    const arriving = consumer.ask("consume", expected);
    arriving.catch(() => {});
    const produced = await producer.ask("paced", { size, rate, count });
    const consumed = await arriving;
    const after = session.cpu();
    requireAll(session.subject, consumed);
    const micros = Math.max(consumed.endedAt, produced.endedAt) - produced.startedAt;
    const planned = (count * 1e6) / rate;
    const { p50, p99, p999 } = produced.latency!;
    const sample: Sample = {
      ackP50: p50,
      ackP99: p99,
      ackP999: p999,
      deliveryP50: consumed.latency!.p50,
      deliveryP99: consumed.latency!.p99,
      deliveryP999: consumed.latency!.p999,
      achieved: (count * 1e6) / micros,
      missing: consumed.counts.missing,
      saturated: micros - planned > planned * BEHIND_PART + BEHIND_MICROS ? 1 : 0,
    };
    return withCpu(sample, before, after, count);
  });
}

/** Of the control, whose acknowledgement is the frame that comes back. */
async function echoed(session: Session, size: number, rate: number, count: number): Promise<Sample> {
  return await session.withTopic({ size, consumers: 0 }, async () => {
    const { latency } = await session.producer.ask("paced", { size, rate, count });
    return { ackP50: latency!.p50, ackP99: latency!.p99, ackP999: latency!.p999, saturated: 0 };
  });
}
