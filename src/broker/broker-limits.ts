/** What a broker may use, and what it does when a limit is reached. Sizes are bytes, times are ms. */
import { MAX_MESSAGE_BYTES, MiB } from "../wire/limits.ts";

export interface BrokerLimits {
  /** For messages, and what is kept of them, of all topics. */
  maxMemory: number;
  /** For those of each topic; 0: no limit of its own. */
  maxTopicMemory: number;
  /** When memory is full: new messages are refused, or the oldest are dropped. */
  overflow: "reject" | "drop-oldest";
  /** Of one message, as encoded. */
  maxMessageBytes: number;
  maxTopics: number;
  /** A message that is given back so often becomes a dead letter; 0: never. */
  maxDeliveries: number;
  /** A topic that is empty and unused for so long is removed. */
  idleTopicTtlMs: number;
  /** Of messages that are sent without a time to live; 0: none. */
  defaultTtlMs: number;
  /** No message lives longer; 0: no limit. */
  maxTtlMs: number;
  /** How long a producer is remembered after its connection ended. */
  producerMemoryMs: number;
  /** Producers remembered, of all topics, connected ones included. */
  maxProducers: number;
  /** Ids remembered for `unique`, of all topics. */
  maxUniqueIds: number;
}

export const DEFAULT_LIMITS: BrokerLimits = {
  maxMemory: 256 * MiB,
  maxTopicMemory: 0,
  overflow: "reject",
  maxMessageBytes: MAX_MESSAGE_BYTES,
  maxTopics: 100_000,
  maxDeliveries: 0,
  idleTopicTtlMs: 300_000,
  defaultTtlMs: 0,
  maxTtlMs: 0,
  producerMemoryMs: 120_000,
  maxProducers: 65_536,
  maxUniqueIds: 1_000_000,
};
