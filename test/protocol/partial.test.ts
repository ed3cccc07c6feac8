/** What a producer is told of a batch that does not fit is what became of it, and the limit holds. */
import { describe, expect, test } from "bun:test";
import {
  Batch,
  ConsumeRequest,
  ConsumeResponse,
  ProduceRequest,
  ProduceResponse,
} from "../../src/gen/tinymq/v1/queue.ts";
import { Random } from "../support/random.ts";
import { startServer, Wire } from "./support.ts";

const ROUNDS = 40;
const MOST_BODY = 700;
/** What the last batch that fits may cost beside its bytes. */
const OVERHEAD = 256;
const PRODUCE = "/tinymq.v1.TinyMQ/Produce";
const CONSUME = "/tinymq.v1.TinyMQ/Consume";
/** Open frame of a topic "t". */
const OPEN = "0a030a0174";
const protocol = "tinymq.v1";

describe("batches into a topic that is nearly full", () => {
  for (const delayMs of [0, 1_000]) {
    for (const maxTopicMemory of [600, 1_000, 5_000]) {
      test(`${maxTopicMemory} bytes, delay ${delayMs} ms: what was not refused comes, in order`, async () => {
        await using server = await startServer({ maxTopicMemory });
        const random = new Random(maxTopicMemory + delayMs);
        const producer = await Wire.open(server.port, PRODUCE, { protocol });
        await producer.send(OPEN).next();
        const stored: number[] = [];
        let partly = 0;
        for (let seq = 1; seq <= ROUNDS; seq++) {
          const ids = Array.from({ length: 1 + random.below(12) }, (_, index) => 100 * seq + index);
          const messages = ids.map((id) => ({
            id,
            body: new Uint8Array(random.below(MOST_BODY)),
            headers: {},
          }));
          const answer = await produce(producer, seq, Batch.toBinary({ messages }), delayMs);
          const refused = refusedOf(answer, ids.length);
          if (refused.size > 0 && refused.size < ids.length) partly += 1;
          stored.push(...ids.filter((_, index) => !refused.has(index)));
          const { memory } = await server.admin("GetTopic", { topic: "t" });
          expect(Number(memory)).toBeLessThanOrEqual(maxTopicMemory + OVERHEAD);
        }
        expect(partly).toBeGreaterThan(0);
        server.clock.advance(delayMs);
        const consumer = await Wire.open(server.port, CONSUME, { protocol });
        await consumer.send(OPEN).next();
        expect(await consumeAll(consumer)).toEqual(stored);
      });
    }
  }
});

async function produce(wire: Wire, seq: number, messages: Uint8Array, delayMs: number) {
  const batch = { seq, delayMs, ttlMs: 0, uniqueMs: 0, messages };
  wire.send(ProduceRequest.toBinary({ kind: { oneofKind: "batch", batch } }));
  return ProduceResponse.fromBinary(await wire.next()).kind;
}

/** Indices of the messages that were not stored. */
function refusedOf(answer: ProduceResponse["kind"], count: number): Set<number> {
  if (answer.oneofKind === "acked") return new Set();
  if (answer.oneofKind !== "rejected") throw new Error(`answered with ${answer.oneofKind}`);
  const { messages } = answer.rejected;
  const ranges = messages.length === 0 ? [{ first: 0, count }] : messages;
  return new Set(ranges.flatMap(({ first, count }) => Array.from({ length: count }, (_, at) => first + at)));
}

async function consumeAll(wire: Wire): Promise<number[]> {
  const ids: number[] = [];
  for (let pullId = 1; ; pullId++) {
    const pull = { pullId, maxMessages: 0, maxBytes: 0, waitMs: 0, settles: [] };
    wire.send(ConsumeRequest.toBinary({ kind: { oneofKind: "pull", pull } }));
    const { kind } = ConsumeResponse.fromBinary(await wire.next());
    if (kind.oneofKind === "empty") return ids;
    if (kind.oneofKind !== "delivered") throw new Error(`answered with ${kind.oneofKind}`);
    ids.push(...Batch.fromBinary(kind.delivered.messages).messages.map(({ id }) => id));
  }
}
