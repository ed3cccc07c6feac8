/**
 * Messages on their way to the dead letters, in the order in which they died: no consumer has them or gets them.
 * They move some at a time, and wait while there is no room for what their headers add.
 */
import { TinyMQError, toTinyMQError } from "../../errors.ts";
import type { Chunk } from "../../log/chunk.ts";
import type { Log } from "../../log/log.ts";
import { Fifo } from "../../wire/fifo.ts";
import { KiB } from "../../wire/limits.ts";
import { truncateUtf8 } from "../../wire/text.ts";
import { withDeathHeaders } from "../dead-letters.ts";

/** The offsets [first, end), and how they died. */
export interface Dying {
  first: number;
  end: number;
  readonly deliveries: number;
  readonly reason: string;
}

/** What dying messages need of their topic. */
export interface DyingTopic {
  readonly name: string;
  readonly log: Log;
  /** ms since 1970. */
  wall(): number;
  /** Whether it may hold so many bytes more as things are. */
  hasRoom(byteLength: number): boolean;
  /** See `TopicHost`. */
  readonly piecePressure: number;
  /** The topic of its dead letters, made if there is none. Throws RESOURCE_EXHAUSTED. */
  openDeadLetters(): DeadLetterTopic;
  /** Removes messages that have moved. */
  done(firstOffset: number, count: number, counter: "deadLettered"): void;
}

export interface DeadLetterTopic {
  readonly log: Log;
  /** Makes room for an append to `log` by which so many bytes are freed elsewhere. Throws RESOURCE_EXHAUSTED. */
  makeRoom(batch: Uint8Array, log: Log, freed: number): void;
  moveIn(batch: Uint8Array, count: number): void;
}

/** Messages, and bytes, that become dead letters in one turn. */
const BURIED_AT_ONCE = 1_024;
const BURIED_BYTES = 256 * KiB;
/** After so long, in ms, those that found no room are tried again. */
const NO_ROOM_MS = 1_000;
/** What is kept of each reason where memory is full. */
const SHORT_REASON_BYTES = 64;
/** What one entry costs beside its reason, in bytes, measured roughly. */
const ENTRY_BYTES = 96;

export class Deaths {
  readonly #topic: DyingTopic;
  readonly #dying = new Fifo<Dying>();
  #reasonBytes = 0;
  #isBurying = false;
  /** What may still move before the topic's timer runs: clients can settle very often in one turn. */
  #messagesLeft = BURIED_AT_ONCE;
  #bytesLeft = BURIED_BYTES;
  /** When the next is moved, by the broker's clock; Infinity: there is none. */
  nextDue = Number.POSITIVE_INFINITY;

  constructor(topic: DyingTopic) {
    this.#topic = topic;
  }

  get memory(): number {
    return this.#dying.length * ENTRY_BYTES + this.#reasonBytes;
  }

  first(): Dying | undefined {
    return this.#dying.first();
  }

  /**
   * Adds messages that died; `bury` moves them. Where there is no room for another entry, they join the last one and
   * take its reason and count.
   */
  add({ first, end, deliveries, reason: given }: Dying, now: number): void {
    const last = this.#dying.last();
    if (last === undefined) this.nextDue = now;
    if (last?.end === first && this.#topic.piecePressure > 1) {
      last.end = end;
      return;
    }
    // It is kept until all have moved: where memory is full, only its first words.
    const kept = this.#topic.hasRoom(2 * given.length) ? given : truncateUtf8(given, SHORT_REASON_BYTES);
    const sameReason = last !== undefined && last.reason === kept;
    if (sameReason && last.end === first && last.deliveries === deliveries) {
      last.end = end;
      return;
    }
    // One text for all that were rejected together.
    this.#dying.push({ first, end, deliveries, reason: sameReason ? last.reason : kept });
    if (!sameReason) this.#reasonBytes += 2 * kept.length;
  }

  /** Moves some to the dead-letter topic; those for which there is no room wait. */
  bury(now: number, isNewTurn: boolean): void {
    // To deliver a dead letter can end a slow client's stream, and messages that it held may die: not within this loop.
    if (this.#isBurying) return;
    this.#isBurying = true;
    if (isNewTurn) {
      this.#messagesLeft = BURIED_AT_ONCE;
      this.#bytesLeft = BURIED_BYTES;
    }
    try {
      this.#buryFirst(now);
    } finally {
      this.#isBurying = false;
    }
  }

  #buryFirst(now: number): void {
    for (let dying = this.first(); dying !== undefined; dying = this.first()) {
      if (this.#messagesLeft <= 0 || this.#bytesLeft <= 0) return;
      const moved = this.#moveSome(dying, this.#messagesLeft);
      if (moved === null) {
        this.nextDue = now + NO_ROOM_MS;
        return;
      }
      this.#messagesLeft -= moved.count;
      this.#bytesLeft -= moved.byteLength;
      if (moved.nextOffset >= dying.end) this.shift();
      else dying.first = moved.nextOffset;
    }
  }

  /** Takes the first, all of which has moved or was purged. */
  shift(): Dying | undefined {
    const dying = this.#dying.shift();
    if (dying === undefined) return undefined;
    const next = this.#dying.first();
    if (next === undefined) this.nextDue = Number.POSITIVE_INFINITY;
    if (next?.reason !== dying.reason) this.#reasonBytes -= 2 * dying.reason.length;
    return dying;
  }

  [Symbol.iterator](): IterableIterator<Dying> {
    return this.#dying[Symbol.iterator]();
  }

  /** Moves as many of the first `most` as there is room for. Null: there is none. */
  #moveSome(dying: Dying, most: number): Chunk | null {
    for (let some = most; some >= 1; ) {
      const chunk = this.#topic.log.read(dying.first, some, BURIED_BYTES, dying.end);
      if (chunk === null) throw new TinyMQError("INTERNAL", `offset ${dying.first} died and is not there`);
      if (this.#move(dying, chunk)) return chunk;
      some = Math.floor(chunk.count / 2);
    }
    return null;
  }

  /** False if there is no room for them. */
  #move({ first, deliveries, reason }: Dying, chunk: Chunk): boolean {
    const topic = this.#topic;
    const death = { topic: topic.name, reason, time: topic.wall(), deliveries };
    const letters = withDeathHeaders(chunk.parts, death);
    try {
      const dead = topic.openDeadLetters();
      // Their own bytes are charged already, and are free again once they have moved.
      dead.makeRoom(letters, dead.log, chunk.byteLength);
      dead.moveIn(letters, chunk.count);
    } catch (thrown) {
      if (toTinyMQError(thrown).code !== "RESOURCE_EXHAUSTED") throw thrown;
      return false;
    }
    topic.done(first, chunk.count, "deadLettered");
    return true;
  }
}
