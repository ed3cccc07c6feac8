/**
 * The producers of one topic: who is connected, and who may send again after its connection was cut.
 *
 * A batch is numbered by its producer (`seq`, from 1, without gaps). What was answered once is answered the
 * same way again and not stored again.
 */
import { TinyMQError, toTinyMQError } from "../../errors.ts";
import { MAX_BATCH_MESSAGES, MAX_BATCHES_IN_FLIGHT } from "../../wire/limits.ts";
import type { MaybePromise } from "../../wire/maybe-promise.ts";
import { checkBatch } from "../../wire/scan.ts";
import type { BatchOptions, ProducerPort } from "../ports.ts";
import type { Timer } from "../timers.ts";
import { type AcceptingTopic, acceptBroadcast, acceptQueued } from "./accept.ts";

/** A batch whose answer is not known yet, or waits for an earlier one. */
interface Pending {
  readonly seq: number;
  answered: boolean;
  error: TinyMQError | null;
}

/**
 * One producer over all of its connections. Always holds: every seq up to `lastSeq` was received; those in
 * `#pending` have no answer yet, ascending; `#rejected` has the rejected ones of the last 256.
 */
export class Producer {
  readonly #table: ProducerTable;
  readonly #topic: AcceptingTopic;
  #broadcast: boolean;
  readonly id: string;
  port: ProducerPort | null;
  lastSeq: number;
  forgetting: Timer | null = null;
  /** The last seq that came on this connection: those above wait to be sent again, and for their answer. */
  #seenSeq: number;
  readonly #pending: Pending[] = [];
  readonly #rejected = new Map<number, TinyMQError>();
  /**
   * Whether a batch came since it was registered. Until then it is told to be unknown, however often it
   * opens: the answer that told it so first may have been lost, and with it that its past was forgotten.
   */
  known = false;

  constructor(
    table: ProducerTable,
    id: string,
    lastSeq: number,
    broadcast: boolean,
    port: ProducerPort | null,
  ) {
    this.#table = table;
    this.#topic = table.topic;
    this.id = id;
    this.lastSeq = lastSeq;
    this.#seenSeq = lastSeq;
    this.#broadcast = broadcast;
    this.port = port;
  }

  /** The same producer on a new connection. */
  reopen(firstSeq: number, broadcast: boolean, port: ProducerPort): void {
    this.lastSeq = this.known ? Math.max(this.lastSeq, firstSeq - 1) : firstSeq - 1;
    this.#seenSeq = firstSeq - 1;
    this.#broadcast = broadcast;
    this.port = port;
  }

  /** A stream of it ended; a clean end forgets it at once. */
  close(port: ProducerPort, clean: boolean): void {
    this.#table.close(this, port, clean);
  }

  /** The last seq that was answered. */
  get answeredSeq(): number {
    return this.#pending.length === 0 ? this.lastSeq : this.#pending[0]!.seq - 1;
  }

  /** Rejected ones of the last 256, for a snapshot. */
  rejections(): Iterable<[seq: number, error: TinyMQError]> {
    return this.#rejected;
  }

  restoreRejection(seq: number, error: TinyMQError): void {
    this.#rejected.set(seq, error);
  }

  /**
   * Takes one batch; the port hears the answer. Throws where the stream must end: a gap in the numbers, a
   * batch that is malformed, more in flight than allowed.
   */
  produce(seq: number, messages: Uint8Array, options: BatchOptions): void {
    if (seq !== this.lastSeq + 1) {
      this.#repeat(seq);
      return;
    }
    if (this.#pending.length >= MAX_BATCHES_IN_FLIGHT) {
      throw new TinyMQError(
        "RESOURCE_EXHAUSTED",
        `more than ${MAX_BATCHES_IN_FLIGHT} batches are without an answer`,
      );
    }
    const topic = this.#topic;
    let count = 0;
    let tooLarge: TinyMQError | null = null;
    try {
      count = checkBatch(messages, 0, messages.length, topic.host.limits.maxMessageBytes, MAX_BATCH_MESSAGES);
    } catch (thrown) {
      const error = toTinyMQError(thrown);
      // A batch that only breaks a limit is refused; one that is no batch ends the stream.
      if (error.code !== "OUT_OF_RANGE") throw error;
      tooLarge = error;
    }
    this.lastSeq = seq;
    this.#seenSeq = seq;
    this.known = true;
    let error = tooLarge;
    let stored: MaybePromise<void> | undefined;
    if (error === null) {
      try {
        stored = this.#accept(messages, count, options);
      } catch (thrown) {
        error = toTinyMQError(thrown);
      }
    }
    if (error !== null) topic.count("rejected", Math.max(1, count));
    if (stored instanceof Promise) {
      const pending: Pending = { seq, answered: false, error: null };
      this.#pending.push(pending);
      stored.then(
        () => this.#arrived(pending, null, count),
        (thrown) => this.#arrived(pending, toTinyMQError(thrown), count),
      );
      return;
    }
    if (this.#pending.length > 0) this.#pending.push({ seq, answered: true, error });
    else this.#answer(seq, error);
    topic.dispatcher.pump();
  }

  /** The port is gone; what is on its way is still answered to the next one. */
  detach(port: ProducerPort): void {
    if (this.port === port) this.port = null;
  }

  #accept(messages: Uint8Array, count: number, options: BatchOptions): MaybePromise<void> {
    if (count === 0) return;
    if (this.#broadcast) acceptBroadcast(this.#topic, messages, count, options);
    else return acceptQueued(this.#topic, messages, count, options);
  }

  /** An engine has answered. */
  #arrived(pending: Pending, error: TinyMQError | null, count: number): void {
    pending.answered = true;
    pending.error = error;
    if (error !== null) this.#topic.count("rejected", count);
    while (this.#pending[0]?.answered) {
      const first = this.#pending.shift()!;
      this.#answer(first.seq, first.error);
    }
    this.#topic.dispatcher.pump();
  }

  #answer(seq: number, error: TinyMQError | null): void {
    // An acknowledgement tells of all below it: on a new connection none may overtake what is sent again.
    const port = seq <= this.#seenSeq ? this.port : null;
    if (error === null) {
      port?.acked(seq);
      return;
    }
    for (const old of this.#rejected.keys()) {
      if (old > seq - MAX_BATCHES_IN_FLIGHT) break;
      this.#rejected.delete(old);
    }
    this.#rejected.set(seq, error);
    port?.rejected(seq, error);
  }

  /** Answers a batch that was sent again as it was answered the first time. */
  #repeat(seq: number): void {
    if (seq > this.lastSeq || seq < 1) {
      throw new TinyMQError("INVALID_ARGUMENT", `batch ${seq} came where ${this.lastSeq + 1} is next`);
    }
    if (seq <= this.lastSeq - MAX_BATCHES_IN_FLIGHT) {
      throw new TinyMQError(
        "OUT_OF_RANGE",
        `batch ${seq} is older than the last ${MAX_BATCHES_IN_FLIGHT} batches`,
      );
    }
    this.#seenSeq = Math.max(this.#seenSeq, seq);
    if (seq > this.answeredSeq) return; // Its answer is on its way.
    const rejected = this.#rejected.get(seq);
    if (rejected === undefined) this.port?.acked(seq);
    else this.port?.rejected(seq, rejected);
  }
}

/** What an open frame of a producer is answered with. */
export interface OpenedProducer {
  readonly producer: Producer;
  readonly known: boolean;
}

export class ProducerTable {
  readonly topic: AcceptingTopic;
  #byId: Map<string, Producer> | null = null;
  /** Producers with a connection. */
  connected = 0;

  constructor(topic: AcceptingTopic) {
    this.topic = topic;
  }

  /** Producers with an id, connected or not. */
  get remembered(): number {
    return this.#byId?.size ?? 0;
  }

  /** Opens a stream of a producer; id "": one that is not remembered. */
  open(id: string, firstSeq: number, broadcast: boolean, port: ProducerPort): OpenedProducer {
    const existing = id === "" ? undefined : this.#byId?.get(id);
    if (existing !== undefined) {
      if (existing.port !== null) {
        const older = existing.port;
        this.#detach(existing, older);
        older.close(new TinyMQError("ABORTED", "this producer opened another connection"));
      }
      this.topic.host.timers.cancel(existing.forgetting);
      existing.forgetting = null;
      existing.reopen(firstSeq, broadcast, port);
      this.connected += 1;
      this.topic.keep();
      return { producer: existing, known: existing.known };
    }
    const producer = new Producer(this, id, firstSeq - 1, broadcast, port);
    if (id !== "") this.#remember(producer);
    this.connected += 1;
    this.topic.keep();
    return { producer, known: false };
  }

  /** The topic is gone. */
  forgetAll(): void {
    for (const producer of this.#byId?.values() ?? []) this.#forget(producer);
  }

  /** A stream ended; a clean end forgets the producer at once. */
  close(producer: Producer, port: ProducerPort, clean: boolean): void {
    if (producer.port !== port) return;
    this.#detach(producer, port);
    if (producer.id === "") return;
    if (clean) this.#forget(producer);
    else this.#forgetLater(producer);
  }

  /** A producer of a snapshot: not connected, forgotten later. */
  restore(id: string, lastSeq: number): Producer {
    const producer = new Producer(this, id, lastSeq, false, null);
    producer.known = true;
    this.#remember(producer);
    this.#forgetLater(producer);
    return producer;
  }

  items(): Iterable<Producer> {
    return this.#byId?.values() ?? [];
  }

  #remember(producer: Producer): void {
    const { limits, remembered } = this.topic.host;
    if (remembered.producers >= limits.maxProducers) {
      throw new TinyMQError(
        "RESOURCE_EXHAUSTED",
        `the server remembers ${limits.maxProducers} producers and has no room for more: close some, or try later`,
      );
    }
    this.#byId ??= new Map();
    this.#byId.set(producer.id, producer);
    remembered.producers += 1;
  }

  #detach(producer: Producer, port: ProducerPort): void {
    producer.detach(port);
    this.connected -= 1;
    this.topic.checkIdle();
  }

  #forgetLater(producer: Producer): void {
    const { timers, limits } = this.topic.host;
    producer.forgetting = timers.after(limits.producerMemoryMs, () => {
      this.#forget(producer);
      this.topic.checkIdle();
    });
  }

  #forget(producer: Producer): void {
    this.topic.host.timers.cancel(producer.forgetting);
    producer.forgetting = null;
    if (this.#byId?.delete(producer.id)) this.topic.host.remembered.producers -= 1;
    this.topic.checkIdle();
  }
}
