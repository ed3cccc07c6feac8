/**
 * What a broker is, said simply: topics as arrays of messages with their states. Shares no code with the
 * broker. Its clients tell it what they do; what the server does about it is checked against it.
 */

import type { BrokerLimits } from "../../src/broker/broker-limits.ts";
import { zeroCounters } from "../../src/broker/counters.ts";
import { Batch } from "../../src/gen/tinymq/v1/queue.ts";
import { ModelTopic } from "./topic.ts";

export interface Content {
  readonly id: number;
  readonly body: string;
  readonly headers: Record<string, string>;
}

export interface ModelMessage extends Content {
  /** Its place among all that its topic ever had: without gaps. */
  readonly number: number;
  /** Bytes of its entry. */
  readonly size: number;
  /** Infinity: never. */
  readonly expires: number;
  /** Dying: on its way to the dead letters. */
  state: "fresh" | "leased" | "returned" | "held" | "dying";
  deliveries: number;
  /** Held: when it returns. Returned: until when it holds itself and all behind it back; 0: it does not. */
  heldUntil: number;
  /** Its time to live was over while it was leased. */
  late: boolean;
  /** It was looked at when its time to live was over. */
  swept: boolean;
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
  /** Positions below were handed to its program. */
  handed = 0;
  /** Positions that it settled, and of which it was told; when the first was settled that it was not told of. */
  settled = 0;
  told = 0;
  untoldSince: number | null = null;
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

  /** Takes what is unsettled of [from, to) out of the lease, in order: a list for each run of consecutive ones. */
  take(from: number, to: number): ModelMessage[][] {
    const runs: ModelMessage[][] = [];
    const end = Math.min(to, this.lease.length);
    for (let position = from; position < end; position++) {
      const message = this.lease[position];
      if (message == null) continue;
      const last = this.#follows(position, from) ? runs.at(-1) : undefined;
      if (last !== undefined) last.push(message);
      else runs.push([message]);
    }
    for (let position = from; position < end; position++) this.lease[position] = null;
    return runs;
  }

  /** In how many runs of consecutive positions and offsets, delivered equally often, it holds messages. */
  get runs(): number {
    return this.lease.filter((message, position) => message != null && !this.#follows(position, 0)).length;
  }

  settle(messages: number): void {
    if (messages > 0) this.untoldSince ??= this.topic.model.now;
    this.settled += messages;
  }

  #follows(position: number, from: number): boolean {
    const [before, message] = [this.lease[position - 1], this.lease[position]];
    if (position <= from || before == null || message == null) return false;
    return before.number + 1 === message.number && before.deliveries === message.deliveries;
  }
}

export interface DelayedBatch {
  readonly due: number;
  readonly expires: number;
  readonly contents: Content[];
}

/** Messages on their way to the dead letters: consecutive ones that died the same way. */
export interface Dying {
  messages: ModelMessage[];
  readonly deliveries: number;
  readonly reason: string;
}

/** Offsets [first, end) that expire together. */
export interface Expiring {
  readonly due: number;
  readonly first: number;
  end: number;
}

/** How a batch was refused, and which of its messages (empty: none was stored). */
export interface Refused {
  readonly code: number;
  readonly ranges: readonly { first: number; count: number }[];
}

export interface ModelProducer {
  /** Has no past here that was forgotten, or a batch of it came since. */
  known: boolean;
  lastSeq: number;
  /** The code that it was rejected with; absent: stored. */
  readonly rejected: Map<number, Refused>;
  connected: boolean;
  forgetAt: number;
}

export class Model {
  limits: BrokerLimits;
  readonly topics = new Map<string, ModelTopic>();
  counters = zeroCounters();
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
    const moved = dead.deliverable.slice(0, limit);
    dead.count("delivered", moved.length);
    dead.count("redelivered", moved.filter(({ state }) => state === "returned").length);
    dead.done(moved);
    topic.moveIn(
      moved.map(({ id, body, headers }) => {
        const own = Object.entries(headers).filter(([header]) => !DEATH_HEADERS.has(header));
        return { id, body, headers: Object.fromEntries(own) };
      }),
    );
    return moved.length;
  }

  /** The server stopped and another took its place: what a snapshot keeps is kept, nobody is connected. */
  restart(): void {
    this.counters = zeroCounters();
    for (const topic of this.topics.values()) {
      if (topic.isKept) topic.restart();
      else this.topics.delete(topic.name);
    }
  }
}

const DEATH_HEADERS: ReadonlySet<string> = new Set(
  ["topic", "reason", "time", "deliveries"].map((name) => `tinymq-dead-${name}`),
);

/** Bytes of the entry of a message. */
export function sizeOf({ id, body, headers }: Content): number {
  return Batch.toBinary({ messages: [{ id, body: new TextEncoder().encode(body), headers }] }).length;
}
