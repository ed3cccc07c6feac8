/** A topic, said simply: an array of messages with their states, and who is connected. */

import type { BrokerLimits } from "../../src/broker/broker-limits.ts";
import { zeroCounters } from "../../src/broker/counters.ts";
import type { ModelConsumer } from "./consumer.ts";
import {
  type Content,
  type DelayedBatch,
  type Dying,
  type Expiring,
  type ModelMessage,
  type ModelProducer,
  sizeOf,
} from "./message.ts";

/** What a topic needs of its broker. Times in ms. */
export interface ModelHost {
  readonly limits: BrokerLimits;
  readonly counters: ReturnType<typeof zeroCounters>;
  readonly now: number;
  readonly wall: number;
  /** Of the operation that is under way. */
  readonly step: number;
  /** The topic of that name, made if there is none. */
  topic(name: string): ModelTopic;
}

export class ModelTopic {
  readonly name: string;
  readonly model: ModelHost;
  /** In order of their offsets. */
  messages: ModelMessage[] = [];
  /** Numbers are given to messages as they are appended. */
  nextNumber = 0;
  delayed: DelayedBatch[] = [];
  dying: Dying[] = [];
  counters = zeroCounters();
  /** Until when an id is taken. */
  readonly unique = new Map<number, number>();
  readonly producers = new Map<string, ModelProducer>();
  holder: ModelConsumer | null = null;
  standbys: ModelConsumer[] = [];
  shared: ModelConsumer[] = [];
  connectedProducers = 0;
  subscribers = 0;
  /** What was published in this step, with the count before it. */
  published: { before: number; bodies: string[] }[] = [];
  publishedCount = 0;
  idleSince: number | null = null;
  /** Of the server's topic, when it was looked at last; "": it was not yet. */
  epoch = "";
  /** The highest offset that was seen. */
  highest = -1;
  /** When the server did all that was due last, the messages from this number on were held back; Infinity: none. */
  blockedFrom = Number.POSITIVE_INFINITY;
  /** Since when dying messages wait though there is ample room; null: they do not. */
  roomSince: number | null = null;
  /** Messages that the server dropped for want of memory, and of which it is not known yet which they are. */
  undropped = 0;

  // What is kept beside the messages. Of memory alone: some of it outlives them for a while.
  expiring: Expiring[] = [];
  #newestExpiring: Expiring | null = null;
  /** When ids are forgotten, also of those that were forgotten before. */
  uniqueTimes: number[] = [];

  constructor(name: string, model: ModelHost) {
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
  get deliverable(): ModelMessage[] {
    const returned = this.inState("returned");
    const held = returned.findIndex(({ heldUntil }) => heldUntil > this.model.now);
    return held < 0 ? [...returned, ...this.inState("fresh")] : returned.slice(0, held);
  }

  /** The messages that could be dropped, the oldest first. */
  get free(): ModelMessage[] {
    return this.inState("fresh", "returned", "held");
  }

  /** The message that holds itself and all behind it back. */
  get blocker(): ModelMessage | undefined {
    const first = this.messages.find(({ state }) => state === "returned");
    return first !== undefined && first.heldUntil > this.model.now ? first : undefined;
  }

  /** Whether a message was to be had before this step, so that it must not be overlooked. */
  wasReady(message: ModelMessage): boolean {
    return message.readySince < this.model.step && message.number < this.blockedFrom;
  }

  /** Whether a snapshot keeps it. */
  get isKept(): boolean {
    const { messages, delayed, producers, unique } = this;
    return messages.length + delayed.length + producers.size + unique.size > 0;
  }

  count(counter: keyof ReturnType<typeof zeroCounters>, messages: number): void {
    this.counters[counter] += messages;
    this.model.counters[counter] += messages;
  }

  append(contents: readonly Content[], expires: number): void {
    if (expires < Infinity && contents.length > 0) {
      this.#expire(this.nextNumber, this.nextNumber + contents.length, expires);
    }
    for (const content of contents) {
      this.messages.push({
        ...content,
        number: this.nextNumber++,
        size: sizeOf(content),
        expires,
        state: "fresh",
        deliveries: 0,
        heldUntil: 0,
        late: false,
        swept: false,
        readySince: this.model.step,
        offset: null,
      });
    }
  }

  publish(contents: readonly Content[]): void {
    this.published.push({ before: this.publishedCount, bodies: contents.map(({ body }) => body) });
    this.publishedCount += contents.length;
    this.count("published", contents.length);
  }

  /** Takes messages that the server says it stored. */
  store(contents: readonly Content[], delayMs: number, ttlMs: number): void {
    if (contents.length === 0) return;
    this.count("produced", contents.length);
    const { now } = this.model;
    const { maxTtlMs } = this.model.limits;
    const ttl = maxTtlMs > 0 ? Math.min(ttlMs || maxTtlMs, maxTtlMs) : ttlMs;
    const expires = ttl > 0 ? now + ttl : Number.POSITIVE_INFINITY;
    if (delayMs > 0) {
      this.delayed.push({ due: now + delayMs, expires, contents: [...contents] });
      return;
    }
    this.append(contents, expires);
    this.publish(contents);
  }

  /** Takes messages that were moved here: dead letters, or those that were redriven. */
  moveIn(contents: readonly Content[]): void {
    if (contents.length === 0) return;
    const { maxTtlMs } = this.model.limits;
    this.append(contents, maxTtlMs > 0 ? this.model.now + maxTtlMs : Number.POSITIVE_INFINITY);
    this.count("produced", contents.length);
    this.publish(contents);
  }

  isTaken(id: number): boolean {
    return (this.unique.get(id) ?? 0) > this.model.now;
  }

  remember(id: number, uniqueMs: number): void {
    const until = this.model.now + uniqueMs;
    this.unique.set(id, until);
    this.uniqueTimes.push(until);
  }

  remove(message: ModelMessage): void {
    this.messages.splice(this.messages.indexOf(message), 1);
  }

  done(messages: readonly ModelMessage[]): void {
    for (const message of messages) this.remove(message);
    this.count("acked", messages.length);
  }

  /** Takes a run of leased messages back; `counted`: their delivery counts. `alone`: held back, each by itself. */
  giveBack(run: readonly ModelMessage[], counted: boolean, delayMs = 0, alone = true, reason = ""): void {
    const { maxDeliveries } = this.model.limits;
    for (const message of run) {
      if (counted) message.deliveries += 1;
      if (maxDeliveries > 0 && message.deliveries >= maxDeliveries && !this.isDead) {
        const why = reason === "" ? "max-deliveries" : `max-deliveries: ${reason}`;
        this.#die(message, message.deliveries, why);
      } else if (message.expires <= this.model.now) {
        this.remove(message);
        this.count("expired", 1);
      } else if (delayMs > 0 && alone) {
        message.state = "held";
        message.heldUntil = this.model.now + delayMs;
      } else {
        message.state = "returned";
        message.heldUntil = delayMs > 0 ? this.model.now + delayMs : 0;
        message.readySince = this.model.step;
      }
    }
  }

  reject(run: readonly ModelMessage[], reason: string): void {
    for (const message of run) {
      if (!this.isDead) this.#die(message, message.deliveries + 1, reason);
      else {
        this.remove(message);
        this.count("dropped", 1);
      }
    }
  }

  #die(message: ModelMessage, deliveries: number, reason: string): void {
    message.state = "dying";
    this.#addDying({ messages: [message], deliveries, reason });
  }

  #addDying({ messages, deliveries, reason }: Dying): void {
    const last = this.dying.at(-1);
    const before = last?.messages.at(-1);
    const isAlike = last?.reason === reason && last.deliveries === deliveries;
    if (last !== undefined && isAlike && before!.number + 1 === messages[0]!.number)
      last.messages.push(...messages);
    else this.dying.push({ messages, deliveries, reason });
  }

  /** So many of those that died have moved to the dead letters. */
  bury(count: number): void {
    for (let left = count; left > 0; ) {
      const first = this.dying[0]!;
      const moved = first.messages.splice(0, left);
      left -= moved.length;
      if (first.messages.length === 0) this.dying.shift();
      for (const message of moved) this.remove(message);
      const headers = {
        "tinymq-dead-topic": this.name,
        "tinymq-dead-reason": first.reason,
        "tinymq-dead-time": new Date(this.model.wall).toISOString(),
        "tinymq-dead-deliveries": String(first.deliveries),
      };
      this.model
        .topic(`${this.name}.dead`)
        .moveIn(moved.map(({ id, body, headers: own }) => ({ id, body, headers: { ...own, ...headers } })));
    }
    this.count("deadLettered", count);
  }

  /** What time does: times to live, held back messages, delayed ones, ids, producers. */
  tick(): void {
    const { now, step } = this.model;
    this.#forgetDue();
    for (const message of [...this.messages]) {
      const isHeld = message.state === "leased" || message.state === "dying";
      if (message.expires <= now && isHeld) {
        // Once, when it is over: a snapshot knows nothing of it any more.
        if (!message.swept) message.late = true;
        message.swept = true;
      } else if (message.expires <= now) {
        this.remove(message);
        this.count("expired", 1);
      } else if (message.state === "held" && message.heldUntil <= now) {
        message.state = "returned";
        message.heldUntil = 0;
        message.readySince = step;
      }
    }
    // A stable sort: of those due together the first sent is first.
    const due = this.delayed.filter((batch) => batch.due <= now).sort((one, other) => one.due - other.due);
    this.delayed = this.delayed.filter((batch) => batch.due > now);
    for (const { contents, expires } of due) {
      if (expires <= now) this.count("expired", contents.length);
      else {
        this.append(contents, expires);
        this.publish(contents);
      }
    }
  }

  #forgetDue(): void {
    const { now } = this.model;
    this.expiring = this.expiring.filter(({ due }) => due > now);
    if (this.#newestExpiring !== null && this.#newestExpiring.due <= now) this.#newestExpiring = null;
    this.uniqueTimes = this.uniqueTimes.filter((until) => until > now);
    for (const [id, until] of this.unique) if (until <= now) this.unique.delete(id);
    for (const [id, producer] of this.producers) {
      if (!producer.connected && producer.forgetAt <= now) this.producers.delete(id);
    }
  }

  /** Drops all that no consumer holds; returns how many. Its ids may come again. */
  purge(): number {
    for (const { messages } of this.dying.splice(0)) {
      for (const message of messages) {
        if (message.late) {
          this.remove(message);
          this.count("expired", 1);
        } else message.state = "returned";
      }
    }
    const kept = this.inState("leased");
    const gone = this.messages.filter(({ state }) => state !== "leased");
    const all = [...gone, ...this.delayed.flatMap(({ contents }) => contents)];
    for (const { id } of all) this.unique.delete(id);
    this.messages = kept;
    this.delayed = [];
    this.count("purged", all.length);
    return all.length;
  }

  /** A consumer's stream has ended: `clean` counts no delivery. */
  leave(consumer: ModelConsumer, clean: boolean): void {
    consumer.pulls = [];
    const handed = new Set(clean ? [] : consumer.lease.slice(0, consumer.handed));
    for (const run of consumer.take(0, consumer.lease.length)) {
      this.giveBack(
        run.filter((message) => handed.has(message)),
        true,
      );
      this.giveBack(
        run.filter((message) => !handed.has(message)),
        false,
      );
    }
    if (this.holder === consumer) this.holder = null;
    this.standbys = this.standbys.filter((other) => other !== consumer);
    this.shared = this.shared.filter((other) => other !== consumer);
  }

  /** A snapshot was written, and another server restored it. */
  restart(): void {
    const { now, limits, step } = this.model;
    this.counters = zeroCounters();
    this.publishedCount = 0;
    this.published = [];
    this.roomSince = null;
    this.blockedFrom = Number.POSITIVE_INFINITY;
    for (const message of this.messages) {
      message.late = false;
      message.readySince = step;
      if (message.heldUntil > 0 && message.heldUntil <= now && message.state === "returned")
        message.heldUntil = 0;
    }
    for (const [id, producer] of this.producers) {
      // One that has a past, and sent nothing since it was forgotten, must stay unknown.
      if (!producer.known) this.producers.delete(id);
      producer.forgetAt = now + limits.producerMemoryMs;
    }
    // A snapshot has them in the order of their offsets.
    const dying = this.dying.sort((one, other) => one.messages[0]!.number - other.messages[0]!.number);
    this.dying = [];
    for (const each of dying) this.#addDying(each);
    const expiring = this.expiring.sort((one, other) => one.due - other.due);
    this.expiring = [];
    this.#newestExpiring = null;
    for (const { first, end, due } of expiring) this.#expire(first, end, due);
    this.uniqueTimes = [...this.unique.values()];
  }

  #expire(first: number, end: number, due: number): void {
    const newest = this.#newestExpiring;
    if (newest !== null && newest.due === due && newest.end === first) {
      newest.end = end;
      return;
    }
    this.#newestExpiring = { due, first, end };
    this.expiring.push(this.#newestExpiring);
  }
}
