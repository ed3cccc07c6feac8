/**
 * A named FIFO queue of messages: what comes in (`acceptor`, `producers`), what is stored (`backlog`), and what
 * goes out (`dispatcher`, `returns`). It has one timer for what is due among its messages and ids, and for its own
 * end (pulls and producers have timers of their own), and tells the broker how much memory it holds.
 *
 * Always holds: after every change `memory` is what the backlog, the acceptor, the returns and the dispatcher hold,
 * `pieces` what of it is for pieces (see `Shared`), and that is charged (what producers remember is charged by itself,
 * see `remembers`); the timer is armed for what is due next; an empty topic that nobody uses has `#idleDue` set.
 */
import { toTinyMQError } from "../errors.ts";
import type { CompactionWork } from "../log/compaction.ts";
import type { Log } from "../log/log.ts";
import { toHex } from "../wire/bytes.ts";
import { DEAD_LETTER_SUFFIX } from "../wire/topic-name.ts";
import { Backlog } from "./backlog.ts";
import { type CounterName, Tally } from "./counters.ts";
import { type AcceptingTopic, Acceptor } from "./inbound/accept.ts";
import { ProducerTable, type TableTopic } from "./inbound/producer-table.ts";
import { countRefusals, mostRemembered } from "./inbound/refusal-memory.ts";
import { type DispatchedTopic, Dispatcher } from "./outbound/dispatcher.ts";
import { type ReturningTopic, Returns } from "./outbound/returns.ts";
import { type BatchOptions, type Delivery, type Refusal, refusalOf } from "./ports.ts";
import type { Timer } from "./timers.ts";
import type { Shared, TopicHost } from "./topic-host.ts";

export class Topic implements AcceptingTopic, TableTopic, DispatchedTopic, ReturningTopic {
  readonly name: string;
  readonly backlog: Backlog;
  readonly acceptor: Acceptor;
  readonly dispatcher: Dispatcher;
  readonly producers: ProducerTable;
  readonly returns: Returns;
  readonly tally: Tally;
  /** Streams that are sent what is published. */
  subscribers = 0;
  /** A name for the life of this topic: one that is made again under its name has another. */
  readonly epoch: string;
  /** Messages published in this epoch. */
  published = 0;
  memory = 0;
  pieces = 0;
  readonly #host: TopicHost<Topic>;
  readonly #shared: Shared;
  #gone = false;
  #timer: Timer | null = null;
  /** When the topic is removed; Infinity while it is used or not empty. */
  #idleDue = Number.POSITIVE_INFINITY;

  constructor(name: string, host: TopicHost<Topic>) {
    this.name = name;
    const { shared } = host;
    this.#host = host;
    this.#shared = shared;
    this.epoch = toHex(crypto.getRandomValues(new Uint8Array(8)));
    this.tally = new Tally(shared.counters);
    this.backlog = new Backlog(shared.pool, this.tally);
    this.acceptor = new Acceptor(this, shared);
    this.returns = new Returns(this, shared);
    this.dispatcher = new Dispatcher(this, shared.timers);
    this.producers = new ProducerTable(this, shared);
    this.changed();
  }

  get maxMessageBytes(): number {
    return this.#shared.limits.maxMessageBytes;
  }

  /** Messages that a consumer could get now. */
  get ready(): number {
    return this.backlog.ready;
  }

  /** Whether it has nothing that could be dropped. */
  get isDrained(): boolean {
    return this.backlog.log.count === this.backlog.leased;
  }

  /** Whether `ready` may still count expired messages: they are dropped some at a time. */
  get isSweeping(): boolean {
    return this.backlog.isSweeping(this.now());
  }

  /** Messages queued: ready, delivered and not settled, held back, and not yet due. */
  get queued(): number {
    return this.backlog.log.count + (this.acceptor.delays?.count ?? 0);
  }

  /** Clients with a stream of this topic. */
  get users(): number {
    return this.producers.connected + this.dispatcher.consumers + this.subscribers;
  }

  get log(): Log {
    return this.backlog.log;
  }

  /** ms by the broker's clock. */
  now(): number {
    return this.#shared.timers.clock.now();
  }

  wall(): number {
    return this.#shared.timers.clock.wall();
  }

  /** The way of a producer's batch: see `ProducedTopic`. */
  accept(
    batch: Uint8Array,
    count: number,
    options: BatchOptions,
    broadcast: boolean,
    settled: (refusal: Refusal | null) => void,
  ): void {
    let refusal: Refusal | null = null;
    try {
      if (broadcast) this.acceptor.broadcast(batch, count, options);
      else refusal = this.acceptor.queue(batch, count, options);
    } catch (thrown) {
      refusal = refusalOf(toTinyMQError(thrown));
    }
    this.changed();
    settled(refusal);
    this.dispatcher.pump();
  }

  refused(count: number): void {
    this.tally.count("rejected", count);
  }

  get mostRemembered(): number {
    return mostRemembered(this.#shared);
  }

  remembers(before: number, after: number): void {
    countRefusals(this.#shared, before, after);
    this.producers.memory += after - before;
    this.#host.charge(after - before);
  }

  makeRoom(batch: Uint8Array, log: Log = this.log, freed = 0): void {
    this.#host.makeRoom(this, log, batch, freed);
  }

  hasRoom(byteLength: number): boolean {
    return this.#host.hasRoom(this, byteLength);
  }

  get piecePressure(): number {
    return this.#host.piecePressure(this);
  }

  store(batch: Uint8Array, count: number, expires: number, tight = false): void {
    this.backlog.append(batch, count, expires, tight);
  }

  /** Hands messages to those who are subscribed now. */
  publish(batch: Uint8Array, count: number): void {
    if (this.subscribers > 0) {
      this.#host.publisher.publish(this.name, this.epoch, this.published, count, batch);
    }
    this.published += count;
    this.tally.count("published", count);
  }

  /** Stores, publishes and delivers messages that come from another topic. No room is asked for them. */
  moveIn(batch: Uint8Array, count: number): void {
    const { maxTtlMs } = this.#shared.limits;
    this.store(batch, count, maxTtlMs > 0 ? this.now() + maxTtlMs : Number.POSITIVE_INFINITY);
    this.tally.count("produced", count);
    this.publish(batch, count);
    this.changed();
    this.dispatcher.pump();
  }

  /** See `Backlog.take`; `isMove`: to another topic and not to a consumer. */
  take(maxMessages: number, maxBytes: number, isMove = false): Delivery | null {
    // A timer may be late, and what has expired is never delivered.
    const now = this.now();
    const delivery = this.backlog.dropExpired(now) ? this.backlog.take(maxMessages, maxBytes, now) : null;
    this.changed();
    if (delivery === null || isMove) return delivery;
    this.tally.count("delivered", delivery.count);
    for (const run of delivery.runs) if (run.redelivered) this.tally.count("redelivered", run.count);
    return delivery;
  }

  /** Removes leased messages: they are consumed, or as `counter` says; null: they are in another topic. */
  done(firstOffset: number, count: number, counter: CounterName | null = "acked"): void {
    if (counter !== null) this.tally.count(counter, count);
    this.backlog.done(firstOffset, count);
    this.changed();
  }

  openDeadLetters(): Topic {
    return this.#host.openTopic(this.name + DEAD_LETTER_SUFFIX);
  }

  /** Drops some of the oldest messages that no consumer holds; returns how many bytes, 0 if there are none. */
  dropOldest(maxMessages: number, maxBytes: number): number {
    const { heldUntil } = this.backlog;
    const dropped = this.backlog.dropOldest(maxMessages, maxBytes);
    this.#endedHold(heldUntil);
    this.changed();
    return dropped;
  }

  /** Drops about `most` messages that no consumer holds, or all that there are; returns how many. */
  purge(most = Number.MAX_SAFE_INTEGER): number {
    const dropping = (batch: Uint8Array) => this.acceptor.forgetUnique(batch);
    let purged = this.returns.purge(most, dropping);
    purged += this.acceptor.purge(most - purged);
    purged += this.backlog.purge(most - purged, dropping);
    this.changed();
    this.dispatcher.pump();
    return purged;
  }

  /** Frees what memory it can without losing a message that has not expired: see `Log.compact`. */
  compact(share?: number, work?: CompactionWork): void {
    const { heldUntil } = this.backlog;
    this.backlog.dropExpired(this.now());
    this.#endedHold(heldUntil);
    this.backlog.log.compact(share, work);
    this.changed();
  }

  /** The message that held all others back until `heldUntil` may be gone: nothing else would wake consumers then. */
  #endedHold(heldUntil: number): void {
    if (this.backlog.heldUntil !== heldUntil) this.dispatcher.pumpLater();
  }

  /** To be called when its parts changed: charges the memory, sets the timer, and notes whether it is in use. */
  changed(): void {
    if (this.#gone) return;
    const pieces = this.backlog.pieces + this.returns.memory + this.dispatcher.memory;
    if (pieces !== this.pieces) this.#shared.noted.pieceBytes += pieces - this.pieces;
    this.pieces = pieces;
    const memory = this.backlog.memory + this.acceptor.memory + pieces;
    if (memory !== this.memory) this.#host.charge(memory - this.memory);
    this.memory = memory;
    this.#updateIdle();
    this.#arm();
  }

  /** The topic is no more: frees what it holds. */
  free(): void {
    this.#gone = true;
    this.#shared.timers.cancel(this.#timer);
    this.producers.forgetAll();
    this.acceptor.drop();
    this.backlog.log.drop();
    this.#host.charge(-this.memory);
    this.#shared.noted.pieceBytes -= this.pieces;
    this.memory = this.pieces = 0;
  }

  /** Does all that is due. */
  #runDue(): void {
    const now = this.now();
    if (this.#idleDue <= now) {
      this.#host.remove(this);
      return;
    }
    this.backlog.runDue(now);
    this.acceptor.unique?.runDue(now);
    this.acceptor.moveDue(now, () => this.dispatcher.pump());
    this.returns.bury(true);
    this.changed();
    this.dispatcher.pump();
  }

  #updateIdle(): void {
    if (!this.#isIdle()) this.#idleDue = Number.POSITIVE_INFINITY;
    else if (this.#idleDue === Number.POSITIVE_INFINITY) {
      this.#idleDue = this.now() + this.#shared.limits.idleTopicTtlMs;
    }
  }

  #isIdle(): boolean {
    return (
      this.users === 0 &&
      this.queued === 0 &&
      (this.acceptor.unique?.count ?? 0) === 0 &&
      this.producers.remembered === 0
    );
  }

  #arm(): void {
    if (this.#gone) return;
    const parts = Math.min(this.backlog.nextDue, this.acceptor.nextDue, this.returns.nextDue);
    const due = Math.min(parts, this.#idleDue);
    const armedFor = this.#timer !== null && this.#timer.slot >= 0 ? this.#timer.due : Infinity;
    if (due === armedFor) return;
    this.#shared.timers.cancel(this.#timer);
    this.#timer = due === Infinity ? null : this.#shared.timers.at(due, () => this.#runDue());
  }
}
