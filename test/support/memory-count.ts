/**
 * What a server holds, counted by the test: only the capacity of logs is taken from the code (and the log's own
 * tests count that). What the server charges must be within these bounds.
 */
import type { TopicConsumer } from "../../src/broker/outbound/topic-consumer.ts";
import type { Topic } from "../../src/broker/topic.ts";
import type { FakeSocket } from "./fake-socket.ts";

/** What is counted: topics, connections, and who consumes. */
interface Counted {
  readonly broker: { readonly topics: ReadonlyMap<string, Topic> };
  readonly links: Iterable<{ readonly socket: FakeSocket }>;
  readonly consumers: Iterable<TopicConsumer>;
}

/** What each thing costs, in bytes: what the server means to charge, stated once more. */
export const PRICES = {
  topic: 2_048,
  /** A stretch of consecutive offsets that was given back. */
  returned: 64,
  /** A stretch that was given back with a delay. */
  held: 160,
  /** A batch that is not due yet, beside its bytes. */
  delayed: 96,
  /** A batch with a time to live. */
  expiring: 96,
  /** A stretch of delivered messages whose time to live is over. */
  late: 64,
  /** A stretch of consecutive positions and offsets that a consumer holds. */
  leased: 72,
  /** A stretch of rejected messages on its way to the dead letters; and each character of a reason of its own. */
  dying: 96,
  dyingReason: 2,
  /** A time of an id of `unique`, in an array that grows by doubling and shrinks by quarters. */
  uniqueTime: 16,
  /** An id of `unique`, in a table of 64 parts of at least 8 places, which double and halve. */
  uniqueId: 16,
} as const;

/** The least and the most that so many ids of `unique`, and so many of their times, take. */
export function uniqueMemory(ids: number, times: number): { least: number; most: number } {
  const idBytes = PRICES.uniqueId * ids;
  const timeBytes = PRICES.uniqueTime * times;
  return {
    // At most three quarters of the places are taken; at least an eighth, or one of eight.
    least: (4 / 3) * idBytes + timeBytes,
    most: 9 * idBytes + (times === 0 ? 0 : Math.max(64 * PRICES.uniqueTime, 8 * timeBytes)),
  };
}

/** Bytes that a server holds: at least, and at most. */
export function countMemory(world: Counted): { least: number; most: number } {
  let least = 0;
  let most = 0;
  const count = (bytes: number, atMost = bytes) => {
    least += bytes;
    most += atMost;
  };
  for (const { socket } of world.links) {
    // Of subscribers it is looked at now and then.
    count(socket.subscriptions.size > 0 ? 0 : socket.bufferedBytes, socket.bufferedBytes);
  }
  for (const topic of world.broker.topics.values()) {
    count(PRICES.topic);
    countTopic(topic, count);
  }
  for (const { lease, topic } of world.consumers) {
    const runs = [...lease].length;
    const mayBeLate = (world.broker.topics.get(topic.name)?.backlog.expiry ?? null) !== null;
    count(PRICES.leased * runs, (PRICES.leased + (mayBeLate ? PRICES.late : 0)) * runs);
  }
  return { least, most };
}

function countTopic(topic: Topic, count: (bytes: number, atMost?: number) => void): void {
  const { backlog, acceptor, returns, producers } = topic;
  const { delays, unique } = acceptor;
  // What is remembered of refusals is counted in the tests of producers.
  count(backlog.log.memory + (delays?.log.memory ?? 0) + producers.memory);
  count(PRICES.returned * [...backlog.returned].length);
  count(PRICES.expiring * (backlog.expiry?.items().length ?? 0));
  count(PRICES.delayed * [...(delays?.items() ?? [])].length);
  count(PRICES.held * [...(backlog.heldBack ?? [])].length);
  let said = "";
  for (const { reason } of returns.deaths ?? []) {
    count(PRICES.dying + (reason === said ? 0 : PRICES.dyingReason * reason.length));
    said = reason;
  }
  if (unique === null) return;
  const ids = [...unique.items()].length;
  const { least, most } = uniqueMemory(ids, ids);
  count(least, most);
}
