/** What topics need of their broker, and what they share. */
import type { Counters } from "../gen/tinymq/v1/admin.ts";
import type { Log } from "../log/log.ts";
import type { SlabPool } from "../log/slab-pool.ts";
import type { BrokerLimits } from "./broker-limits.ts";
import type { Publisher } from "./ports.ts";
import type { Timers } from "./timers.ts";

export interface Shared {
  readonly limits: BrokerLimits;
  readonly timers: Timers;
  readonly pool: SlabPool;
  /** Sums over all topics, since the server started. */
  readonly counters: Counters;
  /** How many producers and ids all topics remember; each topic adds and subtracts its own. */
  readonly remembered: { producers: number; uniqueIds: number };
  /**
   * Bytes of all topics for what is noted though memory is full: pieces (ranges of messages that are leased, given
   * back, or on their way to the dead letters), and refusals that are remembered. `refusers`: see `countRefusals`.
   */
  readonly noted: { pieceBytes: number; refusalBytes: number; refusers: number };
}

export interface TopicHost<Topic> {
  readonly shared: Shared;
  readonly publisher: Publisher;
  /** Adds bytes to what counts against `maxMemory`; below 0 it gives them back. */
  charge(bytes: number): void;
  /** Makes room for an append that frees `freed` bytes of another topic. Throws `QueueFull`. */
  makeRoom(topic: Topic, log: Log, batch: Uint8Array, freed: number): void;
  /** Whether so many bytes more fit within the limits now, with nothing compacted or dropped for them. */
  hasRoom(topic: Topic, byteLength: number): boolean;
  /**
   * What pieces of a topic take beyond a full memory, in parts of `beyondMemory`: above 1 they are joined where they
   * touch, above 2 no more are taken.
   */
  piecePressure(topic: Topic): number;
  /** The topic of that name, made if there is none. Throws RESOURCE_EXHAUSTED. */
  openTopic(name: string): Topic;
  remove(topic: Topic): void;
}
