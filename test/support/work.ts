/** Work counted instead of timed: turns of the server's timer, and what its structures are asked in them. */
import { DueHeap } from "../../src/broker/due-heap.ts";
import { IdHeap } from "../../src/broker/inbound/id-heap.ts";
import { SortedList } from "../../src/broker/sorted-list.ts";
import { Batch } from "../../src/gen/tinymq/v1/queue.ts";
import { Log } from "../../src/log/log.ts";
import { message, type ProduceOptions, TestConsumer, TestProducer } from "./clients.ts";
import type { World } from "./world.ts";

/** Runs one turn after the other while something is due, and `between` behind each; returns how many there were. */
export function runTurns(world: World, between: (turn: number) => void = () => {}): number {
  let turns = 0;
  while (world.clock.nextDue <= world.clock.now()) {
    world.clock.runNext();
    turns += 1;
    if (turns > 1_000_000) throw new Error("there is something due for ever");
    between(turns);
  }
  return turns;
}

/** A producer and a consumer of a topic of their own, who must be served between any two turns. */
export class Bystander {
  readonly #producer: TestProducer;
  readonly #consumer: TestConsumer;
  #served = 0;

  constructor(world: World) {
    this.#producer = new TestProducer(world, "bystander");
    this.#consumer = new TestConsumer(world, "bystander");
    this.#consumer.take();
  }

  /** Sends a message and takes it. Throws unless both are answered at once. */
  isServed(): void {
    this.#producer.send([message(1, `${this.#served}`)]);
    const came = this.#consumer.fetch({ ack: this.#served });
    if (came[0] !== `${this.#served}`) throw new Error("the bystander was not served");
    this.#served += 1;
  }
}

/** Sends so many empty messages with the ids `from`, `from + 1` …, `atOnce` in each batch. */
export function sendMany(
  producer: TestProducer,
  count: number,
  { atOnce = 8_192, from = 0, ...options }: ProduceOptions & { atOnce?: number; from?: number } = {},
): void {
  for (let sent = 0; sent < count; sent += atOnce) {
    const messages = Array.from({ length: Math.min(atOnce, count - sent) }, (_, index) =>
      message(from + sent + index, ""),
    );
    producer.sendRaw(Batch.toBinary({ messages }), options);
  }
}

const COUNTED: readonly [prototype: object, methods: readonly string[]][] = [
  [SortedList.prototype, ["floor", "above", "add", "remove", "shift"]],
  [DueHeap.prototype, ["push", "remove", "at", "sorted"]],
  [IdHeap.prototype, ["push", "shift"]],
  [Log.prototype, ["read", "release", "append"]],
];

/** How often the structures that hold much were asked while `act` ran: each item of a walk counts, too. */
export function countWork(act: () => void): number {
  let work = 0;
  const before = COUNTED.flatMap(([prototype, methods]) =>
    methods.map((name) => ({ prototype, name, method: Reflect.get(prototype, name) as () => unknown })),
  );
  for (const { prototype, name, method } of before) {
    Reflect.set(prototype, name, function (this: unknown, ...args: []) {
      work += 1;
      return method.apply(this, args);
    });
  }
  const walk = SortedList.prototype[Symbol.iterator];
  SortedList.prototype[Symbol.iterator] = function* (this: SortedList<unknown>) {
    for (const item of { [Symbol.iterator]: () => walk.call(this) }) {
      work += 1;
      yield item;
    }
  };
  try {
    act();
  } finally {
    for (const { prototype, name, method } of before) Reflect.set(prototype, name, method);
    SortedList.prototype[Symbol.iterator] = walk;
  }
  return work;
}
