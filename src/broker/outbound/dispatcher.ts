/**
 * Hands a topic's messages to its consumers: who holds the lock, who waits in line, and whose pull is next.
 *
 * Modes: one holder alone (exclusive, or a standby that came to the front), or shared consumers that
 * compete. Always holds: never a holder or standbys together with shared consumers; `#waiting` has the pulls
 * that may be answered; a pull outside it is parked: its consumer stands in line or does not read.
 */
import { TinyMQError } from "../../errors.ts";
import { MAX_PULLS_IN_FLIGHT } from "../../wire/limits.ts";
import { DueHeap } from "../due-heap.ts";
import type { ConsumerPort, Delivery } from "../ports.ts";
import type { Timer, Timers } from "../timers.ts";
import { type ConsumerMode, type LeasedTopic, type Pull, TopicConsumer } from "./topic-consumer.ts";

/**
 * Runs of consecutive offsets that a consumer may hold unsettled; one that settles in order has one. With more, its
 * pulls wait until it has settled some, or their wait is over.
 */
const MOST_LEASE_RUNS = 4_096;
/** Runs that are delivered in one turn. */
const WORK_A_TURN = 1_024;

/** What the dispatcher needs of its topic. */
export interface DispatchedTopic extends LeasedTopic {
  /** Messages that a consumer could get now. */
  readonly ready: number;
  /** Whether `ready` may still count expired messages; `pump` is called when they are gone. */
  readonly isSweeping: boolean;
  /** Leases ready messages, at least one even above `maxBytes`; null: none is ready. */
  take(maxMessages: number, maxBytes: number): Delivery | null;
  /** A consumer came or went, or what the dispatcher holds has changed. */
  changed(): void;
}

export class Dispatcher {
  readonly #topic: DispatchedTopic;
  readonly #timers: Timers;
  #holder: TopicConsumer | null = null;
  #standbys: TopicConsumer[] = [];
  readonly #shared = new Set<TopicConsumer>();
  /** The oldest first: pulls are numbered, and a pull is "due" at its number. */
  readonly #waiting = new DueHeap<Pull>();
  #pulls = 0;
  /** Pulls that want an answer at once, of those in `#waiting`. */
  #impatient: Pull[] = [];
  #pumping = false;
  /** A consumer is opening again, and takes its own place: nobody moves up into it. */
  #replacing = false;
  /** Pumps in a later turn. */
  #continuing: Timer | null = null;
  /** Bytes of all leases. */
  memory = 0;

  constructor(topic: DispatchedTopic, timers: Timers) {
    this.#topic = topic;
    this.#timers = timers;
  }

  get consumers(): number {
    return (this.#holder === null ? 0 : 1) + this.#standbys.length + this.#shared.size;
  }

  get standbys(): number {
    return this.#standbys.length;
  }

  /** Opens a stream of a consumer; id "": one without. Throws FAILED_PRECONDITION if the lock is taken. */
  open(id: string, mode: ConsumerMode, port: ConsumerPort): TopicConsumer {
    this.#replace(id);
    try {
      this.#checkFree(mode);
    } catch (error) {
      // The place of its older stream goes to the next in line.
      this.#moveUp();
      this.pump();
      throw error;
    }
    return this.#join(new TopicConsumer(this.#topic, this, id, mode, port));
  }

  /** A stream ended: what it did not settle returns, and the next in line holds the lock. */
  close(consumer: TopicConsumer, clean: boolean): void {
    if (consumer.closed) return;
    consumer.closed = true;
    for (const pull of [...consumer.pulls]) this.#finish(pull);
    consumer.returnLeases(clean);
    this.#charge(consumer);
    this.#topic.returns.bury();
    this.#shared.delete(consumer);
    this.#standbys = this.#standbys.filter((standby) => standby !== consumer);
    if (this.#holder === consumer) this.#holder = null;
    if (!this.#replacing) this.#moveUp();
    this.pump();
    this.#topic.changed();
  }

  /** Takes a pull; it is answered by `port.deliver` or `port.empty`, in this turn or later. */
  pull(consumer: TopicConsumer, pullId: number, maxMessages: number, maxBytes: number, waitMs: number): void {
    if (consumer.pulls.size >= MAX_PULLS_IN_FLIGHT) {
      throw new TinyMQError(
        "RESOURCE_EXHAUSTED",
        `more than ${MAX_PULLS_IN_FLIGHT} pulls are without an answer`,
      );
    }
    const impatient = waitMs <= 0;
    const place = { due: this.#pulls++, order: 0, slot: -1 };
    const pull: Pull = { ...place, consumer, pullId, maxMessages, maxBytes, impatient, timer: null };
    consumer.pulls.add(pull);
    if (consumer.active) {
      this.#enqueue(pull);
      this.pump();
    } else if (impatient) {
      this.#answerEmpty(pull);
    }
    if (waitMs > 0 && consumer.pulls.has(pull)) {
      pull.timer = this.#timers.after(waitMs, () => this.#answerEmpty(pull));
    }
  }

  /** Answers all pulls of a consumer with `empty`: its stream is rewound. */
  cancelPulls(consumer: TopicConsumer): void {
    for (const pull of [...consumer.pulls]) this.#answerEmpty(pull);
  }

  /** A consumer reads again. */
  resumed(consumer: TopicConsumer): void {
    if (!consumer.active || consumer.closed) return;
    this.#unpark(consumer);
    this.pump();
  }

  /** Something that a consumer holds was settled or given back: it may be able to take more. */
  leaseChanged(consumer: TopicConsumer): void {
    this.#charge(consumer);
    this.#topic.returns.bury();
    if (!consumer.isStalled || consumer.lease.runs >= MOST_LEASE_RUNS) return;
    consumer.isStalled = false;
    this.resumed(consumer);
  }

  /** Answers waiting pulls as long as there are messages for them, and no longer than a turn may take. */
  pump(): void {
    if (this.#pumping || (this.#waiting.length === 0 && this.#impatient.length === 0)) return;
    this.#pumping = true;
    let work = 0;
    try {
      for (let runs = this.#step(); runs > 0 && work < WORK_A_TURN; runs = this.#step()) work += runs;
    } finally {
      this.#pumping = false;
    }
    if (work >= WORK_A_TURN) this.pumpLater();
    else if (!this.#topic.isSweeping) this.#answerImpatient();
  }

  /** Pumps in a turn of its own: where there is more to do, or in the middle of a send, which must not deliver. */
  pumpLater(): void {
    this.#timers.cancel(this.#continuing);
    this.#continuing = this.#timers.after(0, () => this.pump());
  }

  #checkFree(mode: ConsumerMode): void {
    if (mode === "shared") {
      if (this.#holder !== null || this.#standbys.length > 0) throw this.#taken("it holds the topic alone");
    } else if (this.#shared.size > 0) {
      throw this.#taken("shared consumers hold it");
    } else if (mode === "exclusive" && this.#holder !== null) {
      throw this.#taken('mode "standby" waits in line; if all use mode "shared", they compete');
    }
  }

  #taken(what: string): TinyMQError {
    return new TinyMQError("FAILED_PRECONDITION", `topic "${this.#topic.name}" has a consumer: ${what}`);
  }

  #join(consumer: TopicConsumer): TopicConsumer {
    if (consumer.mode === "shared") this.#shared.add(consumer);
    else if (this.#holder === null) this.#holder = consumer;
    else this.#standbys.push(consumer);
    consumer.active = consumer.mode === "shared" || this.#holder === consumer;
    this.#topic.changed();
    return consumer;
  }

  /** Ends an older stream of the same consumer, so that its place does not refuse the new one. */
  #replace(id: string): void {
    if (id === "") return;
    this.#replacing = true;
    try {
      for (const older of [this.#holder, ...this.#standbys, ...this.#shared]) {
        if (older === null || older.id !== id) continue;
        this.close(older, false);
        older.port.close(new TinyMQError("ABORTED", "this consumer opened another connection"));
      }
    } finally {
      this.#replacing = false;
    }
  }

  /** The next in line takes the holder's place, if that is free. */
  #moveUp(): void {
    if (this.#holder !== null) return;
    const next = this.#standbys.shift();
    if (next === undefined) return;
    this.#holder = next;
    next.active = true;
    next.port.promoted();
    this.#unpark(next);
  }

  #enqueue(pull: Pull): void {
    this.#waiting.push(pull);
    if (pull.impatient) this.#impatient.push(pull);
  }

  #unpark(consumer: TopicConsumer): void {
    for (const pull of consumer.pulls) if (pull.slot < 0) this.#enqueue(pull);
  }

  /** Answers the oldest pull that can be answered; returns with how many runs. 0: no pull, or nothing for it. */
  #step(): number {
    const topic = this.#topic;
    if (topic.ready === 0) return 0;
    const pull = this.#nextPull();
    if (pull === undefined) return 0;
    const delivery = topic.take(pull.maxMessages, pull.maxBytes);
    if (delivery === null) return 0;
    const { consumer } = pull;
    const { lease, port } = consumer;
    this.#finish(pull);
    const firstPosition = lease.nextPosition;
    for (const run of delivery.runs) lease.add(run.firstOffset, run.count, run.deliveries);
    this.#charge(consumer);
    port.deliver(pull.pullId, firstPosition, delivery);
    return delivery.runs.length;
  }

  /** The oldest pull of a consumer that can take more; those of others are parked until it can. */
  #nextPull(): Pull | undefined {
    for (let pull = this.#waiting.first(); pull !== undefined; pull = this.#waiting.first()) {
      const { consumer } = pull;
      consumer.isStalled = consumer.lease.runs >= MOST_LEASE_RUNS;
      if (consumer.port.writable && !consumer.isStalled) return pull;
      this.#waiting.remove(pull);
    }
    return undefined;
  }

  #charge(consumer: TopicConsumer): void {
    const change = consumer.lease.memory - consumer.charged;
    if (change === 0) return;
    consumer.charged += change;
    this.memory += change;
    this.#topic.changed();
  }

  #answerImpatient(): void {
    if (this.#impatient.length === 0) return;
    const impatient = this.#impatient;
    this.#impatient = [];
    // Those that are not in the heap were answered, or wait for their consumer to read.
    for (const pull of impatient) if (pull.slot >= 0 || pull.consumer.isStalled) this.#answerEmpty(pull);
  }

  #answerEmpty(pull: Pull): void {
    // The answer to another pull may have ended its stream.
    if (!pull.consumer.pulls.has(pull)) return;
    this.#finish(pull);
    pull.consumer.port.empty(pull.pullId);
  }

  /** A pull has its answer, or needs none any more. */
  #finish(pull: Pull): void {
    pull.consumer.pulls.delete(pull);
    this.#timers.cancel(pull.timer);
    this.#waiting.remove(pull);
  }
}
