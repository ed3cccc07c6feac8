/**
 * What a broker is, said simply: topics as arrays of messages with their states. Shares no code with the
 * broker. Its clients tell it what they do; what the server does about it is checked against it.
 */

import type { BrokerLimits } from "../../src/broker/broker-limits.ts";
import { zeroCounters } from "../../src/broker/counters.ts";
import { Batch } from "../../src/gen/tinymq/v1/queue.ts";

export interface Content {
  readonly id: number;
  readonly body: string;
  readonly headers: Record<string, string>;
}

export interface ModelMessage extends Content {
  /** Bytes of its entry. */
  readonly size: number;
  /** Infinity: never. */
  readonly expires: number;
  state: "fresh" | "leased" | "returned" | "held";
  deliveries: number;
  heldUntil: number;
  /** The step in which it became ready: in that step it may be overlooked. */
  readySince: number;
  /** Learned when it is delivered. */
  offset: number | null;
}

export interface ModelPull {
  readonly id: number;
  /** Its turn among the pulls of its topic. */
  turn: number;
  readonly max: number;
  readonly bytes: number;
  readonly wait: number;
  readonly deadline: number;
}

export class ModelConsumer {
  readonly topic: ModelTopic;
  readonly mode: "exclusive" | "standby" | "shared";
  /** "": none. */
  readonly id: string;
  readonly name: string;
  pulls: ModelPull[] = [];
  /** By position; null where it is settled. */
  lease: (ModelMessage | null)[] = [];
  /** Does not read: nothing may be delivered. */
  blocked = false;

  constructor(topic: ModelTopic, mode: ModelConsumer["mode"], id: string, name: string) {
    this.topic = topic;
    this.mode = mode;
    this.id = id;
    this.name = name;
  }

  get active(): boolean {
    return this.mode === "shared" || this.topic.holder === this;
  }

  /** Takes what is unsettled of [from, to) out of the lease, in order. */
  take(from: number, to: number): ModelMessage[] {
    const taken: ModelMessage[] = [];
    for (let position = from; position < Math.min(to, this.lease.length); position++) {
      const message = this.lease[position];
      if (message == null) continue;
      taken.push(message);
      this.lease[position] = null;
    }
    return taken;
  }
}

export interface DelayedBatch {
  readonly due: number;
  readonly expires: number;
  readonly contents: Content[];
}

export interface ModelProducer {
  /** Has no past here that was forgotten, or a batch of it came since. */
  known: boolean;
  lastSeq: number;
  /** The code that it was rejected with; absent: stored. */
  readonly rejected: Map<number, number>;
  connected: boolean;
  forgetAt: number;
}

export class ModelTopic {
  readonly name: string;
  readonly model: Model;
  /** In order of their offsets. */
  messages: ModelMessage[] = [];
  delayed: DelayedBatch[] = [];
  readonly counters = zeroCounters();
  readonly unique = new Map<number, number>();
  readonly producers = new Map<string, ModelProducer>();
  holder: ModelConsumer | null = null;
  standbys: ModelConsumer[] = [];
  shared: ModelConsumer[] = [];
  pausedUntil = 0;
  connectedProducers = 0;
  subscribers = 0;
  /** What was published in this step, with the count before it. */
  published: { before: number; bodies: string[] }[] = [];
  publishedCount = 0;
  idleSince: number | null = null;
  /** The highest offset that was seen. */
  highest = -1;

  constructor(name: string, model: Model) {
    this.name = name;
    this.model = model;
  }

  get isDead(): boolean {
    return this.name.endsWith(".dead");
  }

  get consumers(): ModelConsumer[] {
    return [...(this.holder === null ? [] : [this.holder]), ...this.standbys, ...this.shared];
  }

  inState(...states: ModelMessage["state"][]): ModelMessage[] {
    return this.messages.filter(({ state }) => states.includes(state));
  }

  /** What a consumer could get, in the order in which it must get it. */
  get ready(): ModelMessage[] {
    return [...this.inState("returned"), ...this.inState("fresh")];
  }

  count(counter: keyof ReturnType<typeof zeroCounters>, messages: number): void {
    this.counters[counter] += messages;
    this.model.counters[counter] += messages;
  }

  append(contents: readonly Content[], expires: number): void {
    for (const content of contents) {
      this.messages.push({
        ...content,
        size: sizeOf(content),
        expires,
        state: "fresh",
        deliveries: 0,
        heldUntil: 0,
        readySince: this.model.step,
        offset: null,
      });
    }
    this.publish(contents);
  }

  publish(contents: readonly Content[]): void {
    this.published.push({ before: this.publishedCount, bodies: contents.map(({ body }) => body) });
    this.publishedCount += contents.length;
    this.count("published", contents.length);
  }

  /** Takes a batch that the server says it stored. */
  store(contents: readonly Content[], delayMs: number, ttlMs: number): void {
    if (contents.length === 0) return;
    this.count("produced", contents.length);
    const { now } = this.model;
    const expires = ttlMs > 0 ? now + ttlMs : Number.POSITIVE_INFINITY;
    if (delayMs > 0) this.delayed.push({ due: now + delayMs, expires, contents: [...contents] });
    else this.append(contents, expires);
  }

  /** What of a batch is new, where ids are unique. */
  filterUnique(contents: readonly Content[]): Content[] {
    const taken = new Set<number>();
    return contents.filter(({ id }) => {
      if (taken.has(id) || (this.unique.get(id) ?? 0) > this.model.now) return false;
      taken.add(id);
      return true;
    });
  }

  remove(message: ModelMessage): void {
    this.messages.splice(this.messages.indexOf(message), 1);
  }

  done(messages: readonly ModelMessage[]): void {
    for (const message of messages) this.remove(message);
    this.count("acked", messages.length);
  }

  /** Takes leased messages back; `counted`: their delivery counts. */
  giveBack(messages: readonly ModelMessage[], counted: boolean, delayMs = 0): void {
    const { maxDeliveries } = this.model.limits;
    for (const message of messages) {
      if (counted) message.deliveries += 1;
      if (maxDeliveries > 0 && message.deliveries >= maxDeliveries && !this.isDead) {
        this.die(message, message.deliveries, "max-deliveries");
      } else if (message.expires <= this.model.now) {
        this.remove(message);
        this.count("expired", 1);
      } else {
        message.state = delayMs > 0 ? "held" : "returned";
        message.heldUntil = this.model.now + delayMs;
        message.readySince = this.model.step;
      }
    }
  }

  reject(messages: readonly ModelMessage[], reason: string): void {
    for (const message of messages) {
      if (!this.isDead) this.die(message, message.deliveries + 1, reason);
      else {
        this.remove(message);
        this.count("dropped", 1);
      }
    }
  }

  private die(message: ModelMessage, deliveries: number, reason: string): void {
    this.remove(message);
    this.count("deadLettered", 1);
    const dead = this.model.topic(`${this.name}.dead`);
    dead.count("produced", 1);
    const headers = {
      ...message.headers,
      "tinymq-dead-topic": this.name,
      "tinymq-dead-reason": reason,
      "tinymq-dead-time": new Date(this.model.wall).toISOString(),
      "tinymq-dead-deliveries": String(deliveries),
    };
    dead.append([{ id: message.id, body: message.body, headers }], Number.POSITIVE_INFINITY);
  }

  /** What time does: times to live, held back messages, delayed ones. */
  tick(): void {
    const { now } = this.model;
    for (const message of this.inState("fresh", "returned", "held")) {
      if (message.expires <= now) {
        this.remove(message);
        this.count("expired", 1);
      } else if (message.state === "held" && message.heldUntil <= now) {
        message.state = "returned";
        message.readySince = this.model.step;
      }
    }
    // A stable sort: of those due together the first sent is first.
    const due = this.delayed.filter((batch) => batch.due <= now).sort((one, other) => one.due - other.due);
    this.delayed = this.delayed.filter((batch) => batch.due > now);
    for (const { contents, expires } of due) {
      if (expires <= now) this.count("expired", contents.length);
      else this.append(contents, expires);
    }
    for (const [id, producer] of this.producers) {
      if (!producer.connected && producer.forgetAt <= now) this.producers.delete(id);
    }
  }

  purge(): number {
    const kept = this.inState("leased");
    const delayed = this.delayed.reduce((sum, { contents }) => sum + contents.length, 0);
    const purged = this.messages.length - kept.length + delayed;
    this.messages = kept;
    this.delayed = [];
    this.count("purged", purged);
    return purged;
  }

  /** A consumer's stream has ended: `clean` counts no delivery. */
  leave(consumer: ModelConsumer, clean: boolean): void {
    consumer.pulls = [];
    const [first, ...others] = consumer.take(0, consumer.lease.length);
    if (first !== undefined) this.giveBack([first], !clean);
    this.giveBack(others, false);
    if (this.holder === consumer) this.holder = null;
    this.standbys = this.standbys.filter((other) => other !== consumer);
    this.shared = this.shared.filter((other) => other !== consumer);
  }
}

export class Model {
  readonly limits: BrokerLimits;
  readonly topics = new Map<string, ModelTopic>();
  readonly counters = zeroCounters();
  now = 0;
  wall = 0;
  /** Of the operation that is under way. */
  step = 0;

  constructor(limits: BrokerLimits) {
    this.limits = limits;
  }

  topic(name: string): ModelTopic {
    let topic = this.topics.get(name);
    if (topic === undefined) {
      topic = new ModelTopic(name, this);
      this.topics.set(name, topic);
    }
    return topic;
  }

  /** Moves ready dead letters back; returns how many. */
  redrive(name: string, limit: number): number {
    const dead = this.topic(`${name}.dead`);
    const topic = this.topic(name);
    const moved = dead.ready.slice(0, limit);
    dead.count("delivered", moved.length);
    dead.count("redelivered", moved.filter(({ state }) => state === "returned").length);
    dead.done(moved);
    topic.count("produced", moved.length);
    for (const { id, body, headers } of moved) {
      const own = Object.entries(headers).filter(([name]) => !name.startsWith("tinymq-dead-"));
      topic.append([{ id, body, headers: Object.fromEntries(own) }], Number.POSITIVE_INFINITY);
    }
    return moved.length;
  }
}

/** Bytes of the entry of a message. */
export function sizeOf({ id, body, headers }: Content): number {
  return Batch.toBinary({ messages: [{ id, body: new TextEncoder().encode(body), headers }] }).length;
}
