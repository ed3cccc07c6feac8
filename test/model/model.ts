/**
 * What a broker is, said simply: topics as arrays of messages with their states. Shares no code with the
 * broker. Its clients tell it what they do; what the server does about it is checked against it.
 */
import type { BrokerLimits } from "../../src/broker/broker-limits.ts";
import { zeroCounters } from "../../src/broker/counters.ts";
import { type ModelHost, ModelTopic } from "./topic.ts";

export class Model implements ModelHost {
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
    for (const message of moved) dead.remove(message);
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
