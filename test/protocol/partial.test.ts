/** What a producer is told of a batch that does not fit is what became of it, and the limit holds. */
import { describe, expect, test } from "bun:test";
import type { ProduceResponse } from "../../src/gen/tinymq/v1/queue.ts";
import { Random } from "../support/random.ts";
import { ConsumeStream, message, ProduceStream } from "./streams.ts";
import { startServer } from "./support.ts";

const ROUNDS = 40;
const MOST_BODY = 700;
/** What the last batch that fits may cost beside its bytes. */
const OVERHEAD = 256;

describe("batches into a topic that is nearly full", () => {
  for (const delayMs of [0, 1_000]) {
    for (const maxTopicMemory of [600, 1_000, 5_000]) {
      test(`${maxTopicMemory} bytes, delay ${delayMs} ms: what was not refused comes, in order`, async () => {
        await using server = await startServer({ maxTopicMemory });
        const random = new Random(maxTopicMemory + delayMs);
        const producer = await ProduceStream.open(server, "t");
        const stored: number[] = [];
        let partly = 0;
        for (let round = 1; round <= ROUNDS; round++) {
          const ids = Array.from({ length: 1 + random.below(12) }, (_, index) => 100 * round + index);
          const messages = ids.map((id) => message(id, random.below(MOST_BODY)));
          const answer = await producer.produce(messages, delayMs);
          const refused = refusedOf(answer, ids.length);
          if (refused.size > 0 && refused.size < ids.length) partly += 1;
          stored.push(...ids.filter((_, index) => !refused.has(index)));
          const { memory } = await server.admin("GetTopic", { topic: "t" });
          expect(Number(memory)).toBeLessThanOrEqual(maxTopicMemory + OVERHEAD);
        }
        expect(partly).toBeGreaterThan(0);
        server.clock.advance(delayMs);
        const consumer = await ConsumeStream.open(server, "t");
        expect((await consumer.pullAll()).map(({ id }) => id)).toEqual(stored);
      });
    }
  }
});

/** Indices of the messages that were not stored. */
function refusedOf(answer: ProduceResponse["kind"], count: number): Set<number> {
  if (answer.oneofKind === "acked") return new Set();
  if (answer.oneofKind !== "rejected") throw new Error(`answered with ${answer.oneofKind}`);
  const { messages } = answer.rejected;
  const ranges = messages.length === 0 ? [{ first: 0, count }] : messages;
  return new Set(ranges.flatMap(({ first, count }) => Array.from({ length: count }, (_, at) => first + at)));
}
