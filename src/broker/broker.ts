/**
 * The broker: all topics, the memory they use together, what happens when it is full, and what sessions call to
 * open a stream.
 *
 * Always holds: `memoryUsed` is the sum of all topics' memory, of what each topic costs by itself, of what is
 * remembered of refusals, and of what sessions charged for buffers.
 */

import { QueueFull, TinyMQError } from "../errors.ts";
import { SPARSE, workOfTurn } from "../log/compaction.ts";
import { Log } from "../log/log.ts";
import { MAX_SPARE_BYTES, SlabPool, STANDARD_SLAB } from "../log/slab-pool.ts";
import { toHex } from "../wire/bytes.ts";
import type { Clock } from "../wire/clock.ts";
import { checkTopicName } from "../wire/topic-name.ts";
import { formatSize } from "../wire/units.ts";
import { type BrokerLimits, beyondMemory } from "./broker-limits.ts";
import { zeroCounters } from "./counters.ts";
import type { OpenedProducer, OpeningProducer } from "./inbound/producer-table.ts";
import type { ConsumerMode, TopicConsumer } from "./outbound/topic-consumer.ts";
import type { ConsumerPort, ProducerPort, Publisher } from "./ports.ts";
import { SortedNames } from "./sorted-names.ts";
import { Timers } from "./timers.ts";
import { Topic } from "./topic.ts";
import type { Shared, TopicHost } from "./topic-host.ts";
import { Victims } from "./victims.ts";

export interface BrokerParts {
  readonly limits: BrokerLimits;
  readonly clock: Clock;
  readonly publisher: Publisher;
}

/** When memory is full topics are compacted in turn, as many as one turn allows, but not for each message. */
const COMPACT_EVERY_MS = 100;
/** What a look at a topic takes of a turn's work. */
const LOOK_AT_TOPIC = 50;
/** Memory is freed a slab at a time, so several messages are dropped at once. */
const DROP_MESSAGES = 256;
const DROP_BYTES = 16 * 1024;
/** Where a leased message pins a slab, dropping frees nothing before a compaction. */
const DROPS_BETWEEN_COMPACTIONS = 16;
/**
 * Bytes that are dropped at most before all slabs are packed, also those that are not sparse: leased messages may pin
 * each of them.
 */
const DROPPED_FOR_NOTHING = STANDARD_SLAB;

/** Spare buffers are not charged: they take at most this share of the memory. */
const SPARE_SHARE = 1 / 16;

/** What an empty topic costs, in bytes, measured roughly. */
const TOPIC_BYTES = 2_048;

export class Broker implements TopicHost<Topic> {
  /** A name for what is in memory: a snapshot keeps it, and a server that starts without one has a new one. */
  instance = toHex(crypto.getRandomValues(new Uint8Array(16)));
  readonly shared: Shared;
  readonly publisher: Publisher;
  readonly limits: BrokerLimits;
  readonly timers: Timers;
  readonly clock: Clock;
  readonly #topics = new Map<string, Topic>();
  readonly #names = new SortedNames();
  #memoryUsed = 0;
  #compactedAt = Number.NEGATIVE_INFINITY;
  /** Those that are compacted next, in a round of all. */
  #uncompacted: Iterator<Topic> = [].values();
  readonly #victims: Victims<Topic>;
  #closed = false;

  constructor({ limits, clock, publisher }: BrokerParts) {
    this.limits = limits;
    this.clock = clock;
    this.publisher = publisher;
    this.timers = new Timers(clock);
    this.#victims = new Victims(this.#topics, limits);
    this.shared = {
      limits,
      timers: this.timers,
      pool: new SlabPool(Math.min(MAX_SPARE_BYTES, limits.maxMemory * SPARE_SHARE)),
      counters: zeroCounters(),
      remembered: { producers: 0, uniqueIds: 0 },
      noted: { pieceBytes: 0, refusalBytes: 0, refusers: 0 },
    };
  }

  get memoryUsed(): number {
    return this.#memoryUsed;
  }

  get topics(): ReadonlyMap<string, Topic> {
    return this.#topics;
  }

  /** The names of all topics, in order. */
  get names(): SortedNames {
    return this.#names;
  }

  /** Opens a producer's stream. Throws `InvalidTopic`, or RESOURCE_EXHAUSTED when there is no room for it. */
  openProducer(
    topicName: string,
    opening: OpeningProducer,
    port: ProducerPort,
  ): OpenedProducer & { topic: Topic } {
    const topic = this.openTopic(topicName);
    return { ...topic.producers.open(opening, port), topic };
  }

  /** Opens a consumer's stream. Throws FAILED_PRECONDITION if the topic's lock is taken. */
  openConsumer(
    topicName: string,
    consumerId: Uint8Array,
    mode: ConsumerMode,
    port: ConsumerPort,
  ): TopicConsumer {
    return this.openTopic(topicName).dispatcher.open(toHex(consumerId), mode, port);
  }

  /** The topic of that name, made if there is none. Throws `InvalidTopic`, and RESOURCE_EXHAUSTED. */
  openTopic(name: string): Topic {
    checkTopicName(name);
    const topic = this.#topics.get(name);
    if (topic !== undefined) return topic;
    if (this.#topics.size >= this.limits.maxTopics) {
      throw new TinyMQError(
        "RESOURCE_EXHAUSTED",
        `the server has ${this.limits.maxTopics} topics, as many as it may: use one that exists, or raise max-topics`,
      );
    }
    if (!this.#makeRoomForTopic()) {
      throw new QueueFull(
        `the server is full: there is no room for topic "${name}" beside ${formatSize(this.#memoryUsed)} of messages`,
      );
    }
    return this.#makeTopic(name);
  }

  /** The topic of that name, made if there is none even above the limits: for what a snapshot holds. */
  restoreTopic(name: string): Topic {
    return this.#topics.get(name) ?? this.#makeTopic(name);
  }

  /** The topic of that name; throws NOT_FOUND. */
  requireTopic(name: string): Topic {
    const topic = this.#topics.get(name);
    if (topic === undefined) throw new TinyMQError("NOT_FOUND", `there is no topic "${name}"`);
    return topic;
  }

  remove(topic: Topic): void {
    if (this.#topics.get(topic.name) !== topic) return;
    this.#topics.delete(topic.name);
    this.#names.remove(topic.name);
    this.#memoryUsed -= TOPIC_BYTES;
    topic.free();
  }

  charge(bytes: number): void {
    this.#memoryUsed += bytes;
  }

  makeRoom(topic: Topic, log: Log, batch: Uint8Array, freed: number): void {
    if (this.hasRoom(topic, log.growth(batch), freed)) return;
    // Not asked above, so that no closure is made for a batch that fits.
    const fits = () => this.hasRoom(topic, log.growth(batch), freed);
    topic.compact();
    if (fits()) return;
    this.#compactAll();
    if (fits()) return;
    this.#throwIfTooLarge(topic, batch);
    const isOverTopicLimit = () => this.#isOverTopicLimit(topic, log.growth(batch));
    const nextVictim = () => (isOverTopicLimit() ? topic : this.#victims.next());
    if (this.limits.overflow === "drop-oldest" && this.#dropOldest(fits, nextVictim)) return;
    throw new QueueFull(
      isOverTopicLimit()
        ? `topic "${topic.name}" is full: its messages hold ${formatSize(topic.memory)} of ${formatSize(this.limits.maxTopicMemory)}`
        : `the server is full: messages hold ${formatSize(this.#memoryUsed)} of ${formatSize(this.limits.maxMemory)}`,
    );
  }

  hasRoom(topic: Topic, byteLength: number, freed = 0): boolean {
    const isOver = this.#memoryUsed + byteLength - freed > this.limits.maxMemory;
    return !isOver && !this.#isOverTopicLimit(topic, byteLength);
  }

  piecePressure(topic: Topic): number {
    const { maxMemory, maxTopicMemory } = this.limits;
    // What was noted while there was room does not count.
    const beyond = Math.min(this.#memoryUsed - maxMemory, this.shared.noted.pieceBytes);
    const most = beyondMemory(maxMemory);
    // Topics that are made later have smaller shares, and all of them together would have no bound.
    if (beyond > 4 * most) return Number.POSITIVE_INFINITY;
    // Who holds less than an equal share is not kept from it by those who hold more.
    const pressure = Math.min(beyond, topic.pieces * this.#topics.size) / most;
    if (maxTopicMemory === 0) return pressure;
    const beyondOwn = Math.min(topic.memory - maxTopicMemory, topic.pieces);
    return Math.max(pressure, beyondOwn / beyondMemory(maxTopicMemory));
  }

  /** Removes all topics and frees what they hold. Nothing is due any more. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.timers.close();
    for (const topic of [...this.#topics.values()]) this.remove(topic);
    this.shared.pool.clear();
  }

  #makeTopic(name: string): Topic {
    const topic = new Topic(name, this);
    this.#topics.set(name, topic);
    this.#names.add(name);
    this.#memoryUsed += TOPIC_BYTES;
    return topic;
  }

  #isOverTopicLimit(topic: Topic, byteLength: number): boolean {
    const { maxTopicMemory } = this.limits;
    return maxTopicMemory > 0 && topic.memory + byteLength > maxTopicMemory;
  }

  /** Throws `QueueFull` for what finds no room in an empty server or topic either: nothing is dropped for that. */
  #throwIfTooLarge(topic: Topic, batch: Uint8Array): void {
    const { maxMemory, maxTopicMemory } = this.limits;
    const growth = new Log(this.shared.pool).growth(batch);
    const isOver = TOPIC_BYTES + growth > maxMemory;
    if (!isOver && (maxTopicMemory === 0 || growth <= maxTopicMemory)) return;
    const limit = isOver
      ? `the server may hold ${formatSize(maxMemory)} in all (max-memory)`
      : `topic "${topic.name}" may hold ${formatSize(maxTopicMemory)} (max-topic-memory)`;
    throw new QueueFull(`${QueueFull.NEVER_FITS} this takes ${formatSize(growth)} in memory, and ${limit}`);
  }

  #compactAll(): void {
    const now = this.clock.now();
    if (now - this.#compactedAt < COMPACT_EVERY_MS) return;
    this.#compactedAt = now;
    const work = workOfTurn();
    for (let looks = this.#topics.size; looks > 0 && work.left > 0; looks--) {
      let next = this.#uncompacted.next();
      if (next.done) {
        this.#uncompacted = this.#topics.values();
        next = this.#uncompacted.next();
      }
      next.value?.compact(SPARSE, work);
      work.left -= LOOK_AT_TOPIC;
    }
  }

  /** Whether there is room for one more topic, once what may go for it has gone. */
  #makeRoomForTopic(): boolean {
    const fits = () => this.#memoryUsed + TOPIC_BYTES <= this.limits.maxMemory;
    if (fits()) return true;
    this.#compactAll();
    if (fits()) return true;
    return this.limits.overflow === "drop-oldest" && this.#dropOldest(fits, () => this.#victims.next());
  }

  /**
   * Drops the oldest messages that nobody holds until there is room; false if there is none. They go from the
   * topic itself where its own limit is reached, else from those that hold most: nobody's unread messages push
   * out those of topics that are read.
   */
  #dropOldest(hasRoom: () => boolean, nextVictim: () => Topic | null): boolean {
    let dropped = 0;
    let before = this.#memoryUsed;
    for (let drops = 1; !hasRoom(); drops++) {
      const victim = nextVictim();
      const bytes = victim?.dropOldest(DROP_MESSAGES, DROP_BYTES) ?? 0;
      if (victim === null || bytes === 0) return false;
      dropped += bytes;
      if (!victim.isDrained && drops % DROPS_BETWEEN_COMPACTIONS > 0) continue;
      // One message that somebody holds may pin the memory of all that were dropped around it.
      victim.compact();
      if (!victim.isDrained && dropped < DROPPED_FOR_NOTHING) continue;
      if (before - this.#memoryUsed < dropped / 2) victim.compact(1);
      dropped = 0;
      before = this.#memoryUsed;
    }
    return true;
  }
}
