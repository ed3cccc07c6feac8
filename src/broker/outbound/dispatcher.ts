/**
 * Hands a topic's messages to its consumers: who holds the lock, who waits in line, and whose pull is next.
 *
 * Modes: one holder alone (exclusive, or a standby that came to the front), or shared consumers that
 * compete. Always holds: never a holder or standbys together with shared consumers; `#waiting` has the
 * pulls that may be answered, oldest first; a consumer's `parked` pulls cannot be answered yet, because it
 * stands in line or does not read.
 */
import { TinyMQError } from "../../errors.ts";
import { Fifo } from "../../wire/fifo.ts";
import { MAX_PULLS_IN_FLIGHT } from "../../wire/limits.ts";
import type { ConsumerPort, Delivery } from "../ports.ts";
import type { Timer, Timers } from "../timers.ts";
import { type ConsumerMode, type LeasedTopic, TopicConsumer, type WaitingPull } from "./topic-consumer.ts";

/** What the dispatcher needs of its topic. */
export interface DispatchedTopic extends LeasedTopic {
  readonly timers: Timers;
  /** Messages that a consumer could get now. */
  readonly ready: number;
  now(): number;
  /** Leases ready messages, at least one even above `maxBytes`; null: none is ready. */
  take(maxMessages: number, maxBytes: number): Delivery | null;
  /** A consumer came or went. */
  usersChanged(): void;
}

export class Dispatcher {
  readonly #topic: DispatchedTopic;
  #holder: TopicConsumer | null = null;
  #standbys: TopicConsumer[] = [];
  readonly #shared = new Set<TopicConsumer>();
  readonly #waiting = new Fifo<WaitingPull>();
  /** How many pulls there were. */
  #pulls = 0;
  /** Pulls in `#waiting` that want an answer at once. */
  #impatient = 0;
  #pumping = false;
  /** A ghost gives its place up: nobody moves up into it, and the lock stays. */
  #replacing = false;
  /** Nothing is delivered before this: the first message was retried with a delay, and order counts. */
  #pausedUntil = 0;
  #resume: Timer | null = null;

  constructor(topic: DispatchedTopic) {
    this.#topic = topic;
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
      // The place that its ghost had goes to the next in line.
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
    for (const pull of this.#pullsOf(consumer)) this.#finish(pull);
    consumer.returnLeases(clean);
    this.#shared.delete(consumer);
    this.#standbys = this.#standbys.filter((standby) => standby !== consumer);
    if (this.#holder === consumer) this.#holder = null;
    if (!this.#replacing) this.#moveUp();
    this.pump();
    this.#topic.usersChanged();
  }

  /** Takes a pull; it is answered by `port.deliver` or `port.empty`, in this turn or later. */
  pull(consumer: TopicConsumer, pullId: number, maxMessages: number, maxBytes: number, waitMs: number): void {
    if (consumer.pulls >= MAX_PULLS_IN_FLIGHT) {
      throw new TinyMQError(
        "RESOURCE_EXHAUSTED",
        `more than ${MAX_PULLS_IN_FLIGHT} pulls are without an answer`,
      );
    }
    consumer.pulls += 1;
    const pull: WaitingPull = {
      consumer,
      pullId,
      order: this.#pulls++,
      maxMessages,
      maxBytes,
      impatient: waitMs <= 0,
      timer: null,
      parked: false,
      done: false,
    };
    if (!consumer.active) {
      this.#park(pull);
      if (pull.impatient) this.#answerEmpty(pull);
    } else {
      this.#enqueue(pull);
      this.pump();
    }
    if (!pull.done && waitMs > 0) {
      pull.timer = this.#topic.timers.after(waitMs, () => this.#answerEmpty(pull));
    }
  }

  /** Answers all pulls of a consumer with `empty`: its stream is rewound. */
  cancelPulls(consumer: TopicConsumer): void {
    for (const pull of this.#pullsOf(consumer)) this.#answerEmpty(pull);
  }

  /** A consumer reads again. */
  resumed(consumer: TopicConsumer): void {
    if (!consumer.active || consumer.closed) return;
    this.#unpark(consumer);
    this.pump();
  }

  /** Delivers nothing for `delayMs`. */
  pause(delayMs: number): void {
    const { timers } = this.#topic;
    this.#pausedUntil = Math.max(this.#pausedUntil, this.#topic.now() + delayMs);
    timers.cancel(this.#resume);
    this.#resume = timers.at(this.#pausedUntil, () => this.pump());
  }

  /** Answers waiting pulls as long as there are messages for them. */
  pump(): void {
    if (this.#pumping || this.#waiting.length === 0) return;
    this.#pumping = true;
    try {
      while (this.#step()) {
        // Each step answers one pull.
      }
    } finally {
      this.#pumping = false;
    }
    this.#answerImpatient();
  }

  #checkFree(mode: ConsumerMode): void {
    const taken =
      mode === "shared" ? this.#holder !== null || this.#standbys.length > 0 : this.#shared.size > 0;
    if (taken) throw this.#taken(mode === "shared" ? "it holds the topic alone" : "shared consumers hold it");
    if (mode === "exclusive" && this.#holder !== null) {
      throw this.#taken('wait in line with mode "standby", or compete with mode "shared"');
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
    this.#topic.usersChanged();
    return consumer;
  }

  /** The same consumer on another connection gives its place up, so that its ghost does not refuse it. */
  #replace(id: string): void {
    if (id === "") return;
    this.#replacing = true;
    try {
      for (const ghost of [this.#holder, ...this.#standbys, ...this.#shared]) {
        if (ghost === null || ghost.id !== id) continue;
        this.close(ghost, false);
        ghost.port.close(new TinyMQError("ABORTED", "this consumer opened another connection"));
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

  #enqueue(pull: WaitingPull): void {
    this.#waiting.push(pull);
    if (pull.impatient) this.#impatient += 1;
  }

  #park(pull: WaitingPull): void {
    pull.parked = true;
    pull.consumer.parked.push(pull);
  }

  #unpark(consumer: TopicConsumer): void {
    for (const pull of consumer.parked.splice(0)) {
      pull.parked = false;
      // Back to its place: younger ones may have come while it could not be answered.
      let index = 0;
      for (const other of this.#waiting) {
        if (other.order > pull.order) break;
        index += 1;
      }
      this.#waiting.splice(index, 0, pull);
      if (pull.impatient) this.#impatient += 1;
    }
  }

  #pullsOf(consumer: TopicConsumer): WaitingPull[] {
    return [...consumer.parked, ...[...this.#waiting].filter((pull) => pull.consumer === consumer)];
  }

  /** Answers the oldest pull that can be answered; false if there is none, or nothing for it. */
  #step(): boolean {
    const topic = this.#topic;
    if (topic.ready === 0) return false;
    if (this.#pausedUntil > 0 && topic.now() < this.#pausedUntil) return false;
    const pull = this.#nextPull();
    if (pull === undefined) return false;
    const delivery = topic.take(pull.maxMessages, pull.maxBytes);
    if (delivery === null) return false;
    const { consumer } = pull;
    this.#finish(pull);
    const firstPosition = consumer.lease.nextPosition;
    for (const run of delivery.runs) consumer.lease.add(run.firstOffset, run.count, run.deliveries);
    consumer.port.deliver(pull.pullId, firstPosition, delivery);
    return true;
  }

  /** The oldest pull of a consumer that reads; those of others are parked until they do. */
  #nextPull(): WaitingPull | undefined {
    for (let pull = this.#waiting.first(); pull !== undefined; pull = this.#waiting.first()) {
      if (pull.consumer.port.writable) return pull;
      this.#waiting.shift();
      if (pull.impatient) this.#impatient -= 1;
      this.#park(pull);
    }
    return undefined;
  }

  #answerImpatient(): void {
    if (this.#impatient === 0) return;
    for (const pull of [...this.#waiting]) if (pull.impatient) this.#answerEmpty(pull);
  }

  #answerEmpty(pull: WaitingPull): void {
    if (pull.done) return;
    this.#finish(pull);
    pull.consumer.port.empty(pull.pullId);
  }

  /** A pull has its answer, or needs none any more. */
  #finish(pull: WaitingPull): void {
    if (pull.done) return;
    pull.done = true;
    pull.consumer.pulls -= 1;
    this.#topic.timers.cancel(pull.timer);
    if (pull.parked) {
      pull.consumer.parked.splice(pull.consumer.parked.indexOf(pull), 1);
      return;
    }
    if (pull.impatient) this.#impatient -= 1;
    if (this.#waiting.first() === pull) this.#waiting.shift();
    else this.#waiting.splice([...this.#waiting].indexOf(pull), 1);
  }
}
