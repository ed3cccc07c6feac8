/**
 * What the server must charge, counted from what the model knows: only the capacity of the logs is the server's
 * own word. Where entries outlive what they were for, or may be one or two, it is a range.
 */
import { PRICES, uniqueMemory } from "../support/memory-count.ts";
import type { World } from "../support/world.ts";
import type { ModelMessage } from "./message.ts";
import type { Model } from "./model.ts";
import type { Sim } from "./sims.ts";
import type { ModelTopic } from "./topic.ts";

export interface Bytes {
  least: number;
  most: number;
}

export function memoryOf(world: World, model: Model, sims: Iterable<Sim>): Bytes {
  const bytes: Bytes = { least: 0, most: 0 };
  for (const { kind, link } of sims) if (kind !== "subscriber") add(bytes, link.socket.bufferedBytes);
  for (const [name, topic] of world.broker.topics) {
    const { backlog, acceptor, producers } = topic;
    add(bytes, PRICES.topic + backlog.log.memory + (acceptor.delays?.log.memory ?? 0) + producers.memory);
    countTopic(bytes, model.topic(name));
  }
  return bytes;
}

function add(bytes: Bytes, least: number, most = least): void {
  bytes.least += least;
  bytes.most += most;
}

function countTopic(bytes: Bytes, topic: ModelTopic): void {
  const { now } = topic.model;
  add(bytes, PRICES.delayed * topic.delayed.length + PRICES.expiring * topic.expiring.length);
  for (const consumer of topic.consumers) add(bytes, PRICES.leased * consumer.runs);
  const returned = topic.inState("returned");
  const hold = ({ heldUntil }: ModelMessage) => (heldUntil > now ? heldUntil : 0);
  add(
    bytes,
    PRICES.returned *
      pieces(returned, (one, other) => one.deliveries === other.deliveries && hold(one) === hold(other)),
    // A hold that is over is known to be over once it is the first.
    PRICES.returned *
      pieces(
        returned,
        (one, other) => one.deliveries === other.deliveries && one.heldUntil === other.heldUntil,
      ),
  );
  const late = topic.inState("leased", "dying").filter((message) => message.late);
  add(bytes, PRICES.late * pieces(late, () => true));
  countHeld(bytes, topic);
  countDying(bytes, topic);
  const unique = uniqueMemory(topic.unique.size, topic.uniqueTimes.length);
  add(bytes, unique.least, unique.most);
}

function countHeld(bytes: Bytes, topic: ModelTopic): void {
  const held = topic.inState("held");
  const isAlike = (one: ModelMessage, other: ModelMessage) =>
    one.deliveries === other.deliveries && one.heldUntil === other.heldUntil;
  add(bytes, PRICES.held * pieces(held, isAlike));
}

function countDying(bytes: Bytes, topic: ModelTopic): void {
  let said = "";
  for (const { reason } of topic.dying) {
    add(bytes, PRICES.dying + (reason === said ? 0 : PRICES.dyingReason * reason.length));
    said = reason;
  }
}

/** In how many pieces of consecutive offsets they lie, of which all are alike. */
function pieces(
  messages: readonly ModelMessage[],
  isAlike: (one: ModelMessage, other: ModelMessage) => boolean,
): number {
  let count = 0;
  for (const [index, message] of messages.entries()) {
    const before = messages[index - 1];
    if (before === undefined || before.number + 1 !== message.number || !isAlike(before, message)) count += 1;
  }
  return count;
}
