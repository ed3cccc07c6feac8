import type { Log } from "../log/log.ts";
import type { Publisher } from "./ports.ts";
import type { Shared } from "./shared.ts";

/** What a topic needs of its broker. */
export interface TopicHost<Topic> {
  readonly shared: Shared;
  readonly publisher: Publisher;
  newEpoch(): string;
  /** A topic's memory changed by so many bytes. */
  charge(bytes: number): void;
  /**
   * Makes room for an append to a log of the topic, or throws `QueueFull`. `freed`: bytes of another topic that the
   * append makes free.
   */
  makeRoom(topic: Topic, log: Log, batch: Uint8Array, freed: number): void;
  /** Whether the topic may hold so many bytes more as things are. */
  hasRoom(topic: Topic, byteLength: number): boolean;
  /** The topic of that name, made if there is none. Throws RESOURCE_EXHAUSTED. */
  openTopic(name: string): Topic;
  remove(topic: Topic): void;
}
