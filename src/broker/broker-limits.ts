/**
 * What a broker may use, and what it does when a limit is reached. Sizes are bytes, times are ms. 0 means no limit for
 * `maxTopicMemory`, `maxDeliveries`, `defaultTtlMs` and `maxTtlMs`; for the others it is a limit like any other.
 */
import { MAX_MESSAGE_BYTES, MiB } from "../wire/limits.ts";

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

/**
 * Bytes that may be noted although a limit of memory is reached: ranges of messages settled one by one, and refusals.
 * Not less than what one client may well need.
 */
export function beyondMemory(limit: number): number {
  return Math.max(MiB, limit / 16);
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
