/** What clients, operators and time do to a server: one operation each, as fast-check makes and shrinks them. */
import fc from "fast-check";

/** Clients are named by numbers, modulo how many there are; without one the operation does nothing. */
export type Operation =
  | { op: "producer"; topic: number; id: number; back: number; broadcast: boolean }
  | {
      op: "send";
      who: number;
      count: number;
      size: number;
      delay: number;
      ttl: number;
      unique: number;
      ids: number;
    }
  | { op: "resend"; who: number; back: number }
  | { op: "endProducer"; who: number; finish: boolean; code: number }
  | { op: "consumer"; topic: number; mode: number; id: number }
  | {
      op: "pull";
      who: number;
      max: number;
      bytes: number;
      wait: number;
      ack: number;
      retry: boolean;
      handed: number;
    }
  | { op: "handed"; who: number; back: number }
  | { op: "ack"; who: number; back: number }
  | { op: "settle"; who: number; back: number; count: number; outcome: number; delay: number }
  | { op: "rewind"; who: number; back: number; delay: number }
  | { op: "endConsumer"; who: number; finish: boolean; code: number }
  | { op: "subscriber"; topic: number }
  | { op: "endSubscriber"; who: number; finish: boolean; code: number }
  | { op: "oldProducer"; topic: number }
  | { op: "oldConsumer"; topic: number }
  | { op: "poll"; who: number }
  | { op: "socket"; who: number; state: "slow" | "full" | "frozen" }
  | { op: "drain"; who: number }
  | { op: "purge"; topic: number }
  | { op: "redrive"; topic: number; limit: number; dead: boolean }
  | { op: "restart"; seconds: number; mode: number }
  | { op: "advance"; seconds: number }
  /** Time passes, and the next frame comes before the timers run. */
  | { op: "lag"; seconds: number };

/** The operations of one name, without the topic, which is told by its name. */
export type Of<Name extends Operation["op"]> = Omit<Extract<Operation, { op: Name }>, "topic">;

const who = fc.nat(5);
/** Most of what happens happens to one topic. */
const topic = fc.constantFrom(0, 0, 0, 1);
const anyTopic = fc.constantFrom(0, 0, 0, 0, 2, 2, 1, 3);
/** 0: none. */
const id = fc.nat(3);
const seconds = fc.constantFrom(0, 0, 0, 0, 0, 1, 2, 5, 30);
const seldomSeconds = fc.constantFrom(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 5, 30);
/** How a client goes: with a finish frame or without, and then with a close frame or (1006) without. */
const ending = { finish: fc.boolean(), code: fc.constantFrom(1000, 1000, 1001, 1006, 1006) };
const weighted = <T extends Operation>(weight: number, arbitrary: fc.Arbitrary<T>) => ({ weight, arbitrary });

const all: fc.WeightedArbitrary<Operation>[] = [
  weighted(3, fc.record({ op: fc.constant("producer"), topic, id, back: fc.nat(3), broadcast: rarely() })),
  weighted(
    16,
    fc.record({
      op: fc.constant("send"),
      who,
      count: fc.nat(5),
      size: fc.constantFrom(0, 0, 0, 0, 0, 50, 50, 300, 300, 3_000, 12_000),
      delay: seldomSeconds,
      ttl: seldomSeconds,
      unique: seldomSeconds,
      ids: fc.nat(9),
    }),
  ),
  weighted(2, fc.record({ op: fc.constant("resend"), who, back: fc.nat(4) })),
  weighted(2, fc.record({ op: fc.constant("endProducer"), who, ...ending })),
  weighted(5, fc.record({ op: fc.constant("consumer"), topic: anyTopic, mode: fc.nat(2), id })),
  weighted(
    24,
    fc.record({
      op: fc.constant("pull"),
      who,
      max: fc.constantFrom(0, 1, 2, 3, 9),
      bytes: fc.constantFrom(0, 0, 1, 100, 1_000),
      wait: seconds,
      ack: fc.nat(19),
      retry: rarely(),
      handed: fc.nat(9),
    }),
  ),
  weighted(4, fc.record({ op: fc.constant("handed"), who, back: fc.integer({ min: -1, max: 5 }) })),
  weighted(5, fc.record({ op: fc.constant("ack"), who, back: fc.integer({ min: -1, max: 5 }) })),
  weighted(
    8,
    fc.record({
      op: fc.constant("settle"),
      who,
      back: fc.nat(5),
      count: fc.nat(3),
      outcome: fc.nat(2),
      delay: seconds,
    }),
  ),
  weighted(3, fc.record({ op: fc.constant("rewind"), who, back: fc.nat(4), delay: seconds })),
  weighted(3, fc.record({ op: fc.constant("endConsumer"), who, ...ending })),
  weighted(1, fc.record({ op: fc.constant("subscriber"), topic: anyTopic })),
  weighted(1, fc.record({ op: fc.constant("endSubscriber"), who, ...ending })),
  weighted(1, fc.record({ op: fc.constant("oldProducer"), topic })),
  weighted(1, fc.record({ op: fc.constant("oldConsumer"), topic: anyTopic })),
  weighted(3, fc.record({ op: fc.constant("poll"), who })),
  weighted(
    1,
    fc.record({ op: fc.constant("socket"), who, state: fc.constantFrom("slow", "slow", "full", "frozen") }),
  ),
  weighted(3, fc.record({ op: fc.constant("drain"), who })),
  weighted(2, fc.record({ op: fc.constant("lag"), seconds: fc.constantFrom(1, 2, 5) })),
  weighted(1, fc.record({ op: fc.constant("purge"), topic: anyTopic })),
  weighted(2, fc.record({ op: fc.constant("redrive"), topic, limit: fc.nat(4), dead: fc.boolean() })),
  weighted(
    1,
    fc.record({ op: fc.constant("restart"), seconds: fc.constantFrom(0, 0, 1, 10, 200), mode: fc.nat(2) }),
  ),
  weighted(
    8,
    fc.record({
      op: fc.constant("advance"),
      seconds: fc.constantFrom(1, 1, 1, 1, 2, 2, 5, 5, 10, 60, 130, 400),
    }),
  ),
];

/** A producer and a consumer, and then whatever comes. */
export const operations: fc.Arbitrary<Operation[]> = fc
  .tuple(
    fc.record({
      op: fc.constant("producer"),
      topic: fc.constant(0),
      id,
      back: fc.constant(0),
      broadcast: rarely(),
    }),
    fc.record({ op: fc.constant("consumer"), topic: fc.constant(0), mode: fc.nat(2), id }),
    fc.array(fc.oneof(...all), { minLength: 5, maxLength: 100, size: "max" }),
  )
  .map(([producer, consumer, others]) => [producer, consumer, ...others]);

export interface Setting {
  readonly overflow: "reject" | "drop-oldest";
  readonly maxMemory: number;
  readonly maxTopicMemory: number;
  readonly maxDeliveries: number;
  readonly maxTtlMs: number;
  /** Time between two operations, in ms; 0: what is due in so many seconds is due together. */
  readonly blink: number;
  /** Timers are late: what became due within a while is due together, whenever it was due. */
  readonly late: boolean;
}

const KiB = 1_024;

export const setting: fc.Arbitrary<Setting> = fc.record({
  overflow: fc.constantFrom("reject", "drop-oldest"),
  maxMemory: fc.constantFrom(12 * KiB, 20 * KiB, 40 * KiB, 64 * KiB * KiB, 64 * KiB * KiB, 64 * KiB * KiB),
  maxTopicMemory: fc.constantFrom(0, 0, 0, 8 * KiB),
  maxDeliveries: fc.constantFrom(0, 0, 2, 3),
  maxTtlMs: fc.constantFrom(0, 0, 0, 5_000),
  blink: fc.constantFrom(0, 0, 1),
  late: fc.boolean(),
});

function rarely(): fc.Arbitrary<boolean> {
  return fc.nat(7).map((value) => value === 7);
}
