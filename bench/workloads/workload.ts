/** What a workload is: one measured run of one subject, written once for all subjects. */
import { type CpuTimes, cpuBetween, type Session } from "../harness/session.ts";
import type { Abilities, ConsumeStyle, ProduceStyle, Subject } from "../harness/subject.ts";

/** What varies between the cells of a workload. Sizes in bytes, rates in messages a second. */
export interface Parameters {
  size: number;
  producers: number;
  consumers: number;
  produceStyle: ProduceStyle;
  consumeStyle: ConsumeStyle;
  rate: number;
  /** Server and client on a core each. */
  pinned: boolean;
}

export const ONE_TO_ONE: Parameters = {
  size: 128,
  producers: 1,
  consumers: 1,
  produceStyle: "send",
  consumeStyle: "stream",
  rate: 0,
  pinned: false,
};

/** The measurements of one run, by name; times in µs, sizes in bytes. */
export type Sample = Record<string, number>;

export interface Workload {
  readonly key: string;
  /** Whether the subject can do it. */
  suits(subject: Subject, parameters: Parameters): boolean;
  /** One run of `count` messages. Throws if they did not all arrive as the subject promises. */
  run(session: Session, parameters: Parameters, count: number): Promise<Sample>;
  /** Messages of the first warm-up. */
  readonly firstCount: number;
  /** Messages of a run, where they follow from the parameters. */
  fixedCount?(parameters: Parameters, seconds: number): number;
  /** Seconds that the measured part of a run took, for choosing the next count. */
  seconds(sample: Sample, count: number): number;
}

/** Whether the abilities cover the styles of the parameters. */
export function hasStyles(abilities: Abilities, { produceStyle, consumeStyle }: Parameters): boolean {
  return (
    (abilities.produceStyles ?? ["send"]).includes(produceStyle) &&
    (abilities.consumeStyles ?? ["stream"]).includes(consumeStyle)
  );
}

/** Adds what each process used, per message. */
export function withCpu(sample: Sample, before: CpuTimes, after: CpuTimes, messages: number): Sample {
  const { server, producer, consumer } = cpuBetween(before, after);
  return {
    ...sample,
    serverCpu: server / messages,
    producerCpu: producer / messages,
    consumerCpu: consumer / messages,
  };
}

/** Messages and body bytes a second. */
export function rates(messages: number, size: number, micros: number): Sample {
  const perSecond = (messages * 1e6) / micros;
  return { perSecond, bytesPerSecond: perSecond * size };
}
