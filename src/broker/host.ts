/** What a topic needs of its broker, declared where it is needed. */
import type { Log, MaybePromise } from "../engine/engine.ts";
import type { Counters } from "../gen/tinymq/v1/admin.ts";
import type { Clock } from "./clock.ts";
import type { BrokerLimits } from "./limits.ts";
import type { Publisher } from "./ports.ts";
import type { Timers } from "./timers.ts";
import type { Topic } from "./topic.ts";

export interface TopicHost {
  readonly clock: Clock;
  readonly timers: Timers;
  readonly limits: BrokerLimits;
  /** Of all topics since the start. */
  readonly counters: Counters;
  readonly publisher: Publisher;
  /** Producers remembered and ids remembered, of all topics; each topic counts its own in and out. */
  readonly remembered: { producers: number; uniqueIds: number };
  newEpoch(): string;
  /** A topic's memory changed by so many bytes. */
  charge(bytes: number): void;
  /** Makes room for an append of so many bytes to a log of the topic, or throws RESOURCE_EXHAUSTED. */
  makeRoom(topic: Topic, log: Log, byteLength: number): void;
  /** The topic of that name, made if there is none, whatever the limit on topics. */
  topicForDeadLetters(name: string): MaybePromise<Topic>;
  /** Opens another log, for messages that are not due. */
  openDelayedLog(topic: string): MaybePromise<Log>;
  remove(topic: Topic): void;
  /** Something went wrong that no client can be told. */
  failed(what: string, error: unknown): void;
}
