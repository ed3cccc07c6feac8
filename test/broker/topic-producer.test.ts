/** One producer where answers take a while, as they will with a journal: order, repeats, and the window. */
import { expect, test } from "bun:test";
import { type ProducedTopic, TopicProducer } from "../../src/broker/inbound/topic-producer.ts";
import type { ProducerPort, Refusal } from "../../src/broker/ports.ts";
import { NO_OPTIONS } from "../../src/broker/ports.ts";
import { Batch } from "../../src/gen/tinymq/v1/queue.ts";

/** A topic that settles a batch when the test says so. */
class SlowTopic implements ProducedTopic {
  readonly maxMessageBytes = 100;
  readonly waiting: ((refusal: Refusal | null) => void)[] = [];
  refusals = 0;
  readonly mostRemembered = Number.POSITIVE_INFINITY;
  remembered = 0;

  accept(...[, , , , settled]: Parameters<ProducedTopic["accept"]>): void {
    this.waiting.push(settled);
  }

  refused(count: number): void {
    this.refusals += count;
  }

  remembers(before: number, after: number): void {
    this.remembered += after - before;
  }
}

class Answers implements ProducerPort {
  readonly all: string[] = [];

  acked(seq: number): void {
    this.all.push(`ack ${seq}`);
  }

  rejected(seq: number): void {
    this.all.push(`reject ${seq}`);
  }

  close(): void {
    this.all.push("closed");
  }
}

function batch(length = 1): Uint8Array {
  return Batch.toBinary({ messages: [{ id: 1, body: new Uint8Array(length), headers: {} }] });
}

function opened(): { topic: SlowTopic; port: Answers; producer: TopicProducer } {
  const topic = new SlowTopic();
  const port = new Answers();
  return { topic, port, producer: new TopicProducer(topic, "one", 0, false, port) };
}

test("answers leave in the order of seq, in whatever order batches are settled", () => {
  const { topic, port, producer } = opened();
  for (let seq = 1; seq <= 4; seq++) producer.produce(seq, batch(), NO_OPTIONS);
  const [first, second, third, fourth] = topic.waiting;
  third!(null);
  second!({ code: "RESOURCE_EXHAUSTED", message: "full", messages: [] });
  expect(port.all).toEqual([]);
  expect(producer.answeredSeq).toBe(0);
  first!(null);
  expect(port.all).toEqual(["ack 1", "reject 2", "ack 3"]);
  fourth!(null);
  expect(port.all).toEqual(["ack 1", "reject 2", "ack 3", "ack 4"]);
  expect(topic.refusals).toBe(1);
});

test("a batch that is refused at once waits for those before it", () => {
  const { topic, port, producer } = opened();
  producer.produce(1, batch(), NO_OPTIONS);
  producer.produce(2, batch(200), NO_OPTIONS);
  producer.produce(3, new Uint8Array(0), NO_OPTIONS);
  expect(port.all).toEqual([]);
  topic.waiting[0]!(null);
  expect(port.all).toEqual(["ack 1", "reject 2", "ack 3"]);
});

test("the 257th batch without an answer ends the stream", () => {
  const { topic, producer } = opened();
  for (let seq = 1; seq <= 256; seq++) producer.produce(seq, batch(), NO_OPTIONS);
  expect(() => producer.produce(257, batch(), NO_OPTIONS)).toThrow("more than 256 batches");
  topic.waiting[0]!(null);
  producer.produce(257, batch(), NO_OPTIONS);
  expect(topic.waiting).toHaveLength(257);
});

test("an answer on its way does not overtake what a producer sends again on a new connection", () => {
  const { topic, producer } = opened();
  producer.produce(1, batch(), NO_OPTIONS);
  producer.produce(2, batch(200), NO_OPTIONS);
  topic.waiting[0]!(null);
  producer.produce(3, batch(), NO_OPTIONS);
  producer.port = null;
  const port = new Answers();
  producer.reopen(1, false, port);
  topic.waiting[1]!(null);
  // An acknowledgement of 3 would tell that 2 is stored.
  expect(port.all).toEqual([]);
  for (const [seq, length] of [
    [1, 1],
    [2, 200],
    [3, 1],
  ] as const) {
    producer.produce(seq, batch(length), NO_OPTIONS);
  }
  expect(port.all).toEqual(["ack 1", "reject 2", "ack 3"]);
  expect(topic.waiting).toHaveLength(2);
});

test("a batch on its way when its producer was cut is answered on the new connection, once", () => {
  const { topic, port: cut, producer } = opened();
  producer.produce(1, batch(), NO_OPTIONS);
  producer.port = null;
  const port = new Answers();
  producer.reopen(1, false, port);
  producer.produce(1, batch(), NO_OPTIONS);
  topic.waiting[0]!(null);
  expect([cut.all, port.all]).toEqual([[], ["ack 1"]]);
  expect(topic.waiting).toHaveLength(1);
});
