/**
 * Room: what goes for want of it, what waits for it, and whether there was none where the server said so. How many
 * were dropped, and how many dead letters have moved, the server's counters tell; which ones the model knows.
 */

import { PRICES } from "../support/memory-count.ts";
import type { World } from "../support/world.ts";
import { fail } from "./failure.ts";
import type { ModelMessage, Refused } from "./message.ts";
import type { Model } from "./model.ts";
import type { Sent } from "./sims.ts";
import type { ModelTopic } from "./topic.ts";

/** Dead letters look for room again each second. */
const LOOKS_AGAIN_MS = 1_000;
/** What headers of dead letters add at most, with the reasons of a run. */
const DEATH_HEADERS = 300;

export class Room {
  readonly #world: World;
  readonly #model: Model;
  /** What each topic held when all was done that was due last, and whether it had something to drop. */
  #before = new Map<string, { memory: number; free: boolean }>();
  #used = 0;

  constructor(world: World, model: Model) {
    this.#world = world;
    this.#model = model;
  }

  /** Learns what moved to the dead letters, and how many were dropped. */
  learn(): void {
    for (const [name, { tally }] of this.#world.broker.topics) {
      const topic = this.#model.topic(name);
      const moved = tally.counters.deadLettered - topic.counters.deadLettered;
      const dying = topic.dying.reduce((sum, { messages }) => sum + messages.length, 0);
      if (moved > 0) topic.bury(Math.min(moved, dying));
      topic.undropped = tally.counters.dropped - topic.counters.dropped;
      if (topic.undropped > 0 && this.#model.limits.overflow !== "drop-oldest") fail("messages were dropped");
    }
  }

  /** The oldest that nobody holds were dropped, but for `taken`. */
  drop(topic: ModelTopic, count: number, taken: readonly ModelMessage[] = []): void {
    for (let dropped = 0; dropped < count; dropped++) {
      const oldest = topic.free.find((message) => !taken.includes(message));
      if (oldest === undefined) fail(`${topic.name}: more was dropped than was free`);
      topic.remove(oldest);
    }
    topic.count("dropped", count);
    topic.undropped -= count;
  }

  /** Drops what was dropped and is not known to be gone yet. */
  dropOldest(): void {
    for (const topic of this.#model.topics.values()) {
      if (topic.undropped < 0) fail(`${topic.name}: fewer were dropped than the model says`);
      if (topic.undropped === 0) continue;
      this.#checkVictim(topic);
      this.drop(topic, topic.undropped);
    }
  }

  /** What held more than its share, or most, was to go: unless the topic's own limit was reached. */
  #checkVictim(victim: ModelTopic): void {
    const { maxMemory, maxTopicMemory } = this.#model.limits;
    const { topics } = this.#world.broker;
    const held = this.#before.get(victim.name)?.memory ?? 0;
    if (maxTopicMemory > 0 || held > maxMemory / Math.max(1, topics.size)) return;
    for (const [name, { memory, free }] of this.#before) {
      const now = topics.get(name);
      if (!free || memory <= held || now === undefined || now.memory <= held) continue;
      // It was compacted before anything was dropped, and may have grown since.
      if ((this.#world.leastMemory.get(name) ?? 0) <= held) continue;
      if (this.#stillHas(this.#model.topic(name)))
        fail(`${victim.name} lost messages, and ${name} holds ${memory}, more than ${held}`);
    }
  }

  /** Whether something is left that could have been dropped before this step. */
  #stillHas({ free, undropped }: ModelTopic): boolean {
    const next = free[undropped];
    return next !== undefined && next.readySince < this.#model.step;
  }

  isShortFor(topicName: string): boolean {
    const { broker } = this.#world;
    return !broker.topics.has(topicName) && broker.memoryUsed + PRICES.topic > broker.limits.maxMemory;
  }

  /** A batch, or a part of it, was refused: there was no room, and nothing that could be dropped. */
  wasShort(topic: ModelTopic, { contents, delayMs }: Sent, { ranges }: Refused): void {
    const { broker } = this.#world;
    const { maxMemory, maxTopicMemory, overflow } = this.#model.limits;
    const refused = contents.filter(
      (_, index) =>
        ranges.length === 0 || ranges.some(({ first, count }) => index >= first && index < first + count),
    );
    const smallest = Math.min(...refused.map(({ body }) => body.length));
    const server = broker.topics.get(topic.name)!;
    const log = delayMs > 0 ? server.acceptor.delays?.log : server.backlog.log;
    const growth = mayGrow(log?.memory ?? 0, smallest + 100, maxMemory);
    const used = Math.max(broker.memoryUsed, this.#used);
    if (used + growth <= maxMemory && (maxTopicMemory === 0 || server.memory + growth <= maxTopicMemory))
      fail(`${topic.name} had no room for ${smallest} bytes: ${used} of ${maxMemory} are used`);
    const all = contents.reduce((sum, { body }) => sum + body.length + 100, 0);
    // A buffer is up to twice as large as what is in it; nothing is dropped for what an empty server has no room for.
    const needs = 2 * all + PRICES.topic;
    if (overflow !== "drop-oldest" || needs > maxMemory || (maxTopicMemory > 0 && needs > maxTopicMemory))
      return;
    const others = maxTopicMemory > 0 ? [topic] : this.#model.topics.values();
    for (const other of others) {
      if (this.#stillHas(other)) fail(`${topic.name} had no room, and not all was dropped of ${other.name}`);
    }
  }

  /** All that was due is done. */
  stable(): void {
    const { broker } = this.#world;
    this.#used = broker.memoryUsed;
    this.#before = new Map();
    for (const topic of this.#model.topics.values()) {
      const memory = broker.topics.get(topic.name)?.memory ?? 0;
      this.#before.set(topic.name, { memory, free: topic.free.length > 0 });
      this.#world.leastMemory.set(topic.name, memory);
      topic.blockedFrom = topic.blocker?.number ?? Number.POSITIVE_INFINITY;
      this.#checkDying(topic);
    }
  }

  /** Dead letters wait no longer than until it is looked for room again. */
  #checkDying(topic: ModelTopic): void {
    const first = topic.dying[0]?.messages[0];
    if (first === undefined || !this.#hasAmpleRoom(topic, first)) {
      topic.roomSince = null;
      return;
    }
    topic.roomSince ??= this.#model.now;
    const waits = this.#model.now - topic.roomSince;
    if (waits > LOOKS_AGAIN_MS)
      fail(`${first.body} of ${topic.name} waits for ${waits} ms though there is room`);
  }

  #hasAmpleRoom({ name }: ModelTopic, { size }: ModelMessage): boolean {
    const { broker } = this.#world;
    const { maxMemory, maxTopicMemory } = this.#model.limits;
    const dead = broker.topics.get(`${name}.dead`);
    const growth = mayGrow(dead?.backlog.log.memory ?? 0, size + DEATH_HEADERS, maxMemory);
    const makesTopic = dead === undefined ? PRICES.topic : 0;
    if (broker.memoryUsed + growth + makesTopic > maxMemory) return false;
    return maxTopicMemory === 0 || (dead?.memory ?? 0) + growth <= maxTopicMemory;
  }
}

/**
 * By how much a log that holds so much may grow at most for so many bytes: buffers double, and the first of an empty
 * log is as large as a part of the last one was.
 */
function mayGrow(memory: number, byteLength: number, maxMemory: number): number {
  return 2 * memory + 4 * byteLength + Math.min(64 * 1_024, maxMemory / 4) + 1_024;
}
