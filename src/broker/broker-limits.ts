import { MAX_MESSAGE_BYTES, MiB } from "../wire/limits.ts";

/** What a broker may use, and what it does where that ends. Bytes and ms; 0 means: no such limit. */
export interface BrokerLimits {
  maxMemory: number;
  maxTopicMemory: number;
  overflow: "reject" | "drop-oldest";
  maxMessageBytes: number;
  maxTopics: number;
  maxDeliveries: number;
  idleTopicTtlMs: number;
  defaultTtlMs: number;
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
