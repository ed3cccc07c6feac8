/**
 * What the broker asks of those who use it, declared here so that it imports none of them.
 *
 * Always holds: the broker calls a port synchronously, never after `close` was called on it, and expects no
 * answer; a port that cannot send ends its own stream.
 */
import type { Code, TinyMQError } from "../errors.ts";

/** Delivered messages with consecutive offsets. */
export interface DeliveredRun {
  readonly firstOffset: number;
  readonly count: number;
  readonly redelivered: boolean;
  /** How many earlier deliveries count. */
  readonly deliveries: number;
}

/** What one pull is answered with. `parts` are views: to be copied or sent before control returns. */
export interface Delivery {
  readonly runs: readonly DeliveredRun[];
  readonly parts: readonly Uint8Array[];
  readonly count: number;
  readonly byteLength: number;
}

/** The messages [first, first + count) of a batch. */
export interface MessageRange {
  first: number;
  count: number;
}

/** Why a batch, or a part of it, was not stored. Not an error object: it is kept for long, and stacks are large. */
export interface Refusal {
  readonly code: Code;
  readonly message: string;
  /** The messages that were not stored; empty: none was stored. */
  readonly messages: readonly MessageRange[];
}

/** What an error makes of a batch, none of which was stored, or of some of its messages. */
export function refusalOf({ code, message }: TinyMQError, messages: readonly MessageRange[] = []): Refusal {
  return { code, message, messages };
}

export interface ProducerPort {
  /** Every batch up to `seq` that was not rejected is stored. */
  acked(seq: number): void;
  /** The batch, or a part of it, was not stored. */
  rejected(seq: number, refusal: Refusal): void;
  /** The broker ends the stream. */
  close(error: TinyMQError): void;
}

export interface ConsumerPort {
  /** False while the client does not read what was sent: nothing is delivered then. */
  readonly writable: boolean;
  deliver(pullId: number, firstPosition: number, delivery: Delivery): void;
  empty(pullId: number): void;
  /** A standby holds the lock now. */
  promoted(): void;
  close(error: TinyMQError): void;
}

/** Hands messages to all subscribers of a topic; those that cannot keep up miss some. */
export interface Publisher {
  publish(topic: string, epoch: string, published: number, count: number, batch: Uint8Array): void;
}

/** The options of a batch, in ms; 0: not set. */
export interface BatchOptions {
  readonly delayMs: number;
  readonly ttlMs: number;
  readonly uniqueMs: number;
}

/** Of a batch that is taken as it is. */
export const NO_OPTIONS: BatchOptions = { delayMs: 0, ttlMs: 0, uniqueMs: 0 };
