/**
 * One producer of one topic, over all of its connections.
 *
 * A batch is numbered by its producer (`seq`, from 1, without gaps). What was answered once is answered the
 * same way again and not stored again.
 */
import { TinyMQError, toTinyMQError } from "../../errors.ts";
import { Fifo } from "../../wire/fifo.ts";
import { MAX_BATCH_MESSAGES, MAX_BATCHES_IN_FLIGHT } from "../../wire/limits.ts";
import { checkBatch } from "../../wire/scan.ts";
import { type BatchOptions, type ProducerPort, type Refusal, refusalOf } from "../ports.ts";

/** What a producer needs of its topic. */
export interface ProducedTopic {
  readonly maxMessageBytes: number;
  /**
   * Takes a checked batch. Calls `settled` exactly once, in this turn or later, with null if all of it is stored;
   * batches may be settled in any order.
   */
  accept(
    batch: Uint8Array,
    count: number,
    options: BatchOptions,
    broadcast: boolean,
    settled: (refusal: Refusal | null) => void,
  ): void;
  /** So many messages (at least 1) were refused. */
  refused(count: number): void;
  /** What is remembered of a producer's refusals, which took `before` bytes, takes `after`. */
  remembers(before: number, after: number): void;
  /** Bytes that one producer's refusals may take now. */
  readonly mostRemembered: number;
}

/** A batch that is not settled yet, or whose answer waits for an earlier one. */
interface Pending {
  readonly seq: number;
  settled: boolean;
  refusal: Refusal | null;
}

/** Batches [first, last] that were refused for one reason. */
interface Rejected {
  readonly first: number;
  last: number;
  readonly refusal: Refusal;
}

/**
 * Always holds: every seq up to `lastSeq` was received; those in `#pending` have no answer yet, ascending, and
 * are answered in that order; `#rejected` has the rejected ones of the last 256, ascending; `memory` is what
 * they take, in bytes.
 */
export class TopicProducer {
  readonly #topic: ProducedTopic;
  #broadcast: boolean;
  readonly id: string;
  /** Null while it has no connection. */
  port: ProducerPort | null;
  lastSeq: number;
  /** The last seq that came on this connection; those above it are answered once they were sent again. */
  #seenSeq: number;
  readonly #pending = new Fifo<Pending>();
  /** Batches that follow each other and were refused whole for one reason share an entry: a full server refuses many. */
  readonly #rejected = new Fifo<Rejected>();
  memory = 0;
  /**
   * Whether a batch came since it was registered. Until then each open is answered with `known` false: the first
   * such answer may have been lost, and the client must learn that the server knows nothing of its past.
   */
  known = false;

  constructor(
    topic: ProducedTopic,
    id: string,
    lastSeq: number,
    broadcast: boolean,
    port: ProducerPort | null,
  ) {
    this.#topic = topic;
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

  /** Whether its refusals take more than they may, also if those of whole batches share a text. */
  remembersTooMuch(): boolean {
    if (this.memory > this.#topic.mostRemembered) this.#joinRejected();
    return this.memory > this.#topic.mostRemembered;
  }

  /** The last seq that was answered. */
  get answeredSeq(): number {
    const first = this.#pending.first();
    return first === undefined ? this.lastSeq : first.seq - 1;
  }

  /** Rejected ones of the last 256, for a snapshot. */
  *rejections(): Generator<[seq: number, refusal: Refusal]> {
    for (const { first, last, refusal } of this.#rejected) {
      for (let seq = Math.max(first, this.lastSeq - MAX_BATCHES_IN_FLIGHT + 1); seq <= last; seq++) {
        yield [seq, refusal];
      }
    }
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
    if (this.remembersTooMuch()) {
      throw new TinyMQError(
        "RESOURCE_EXHAUSTED",
        "too many refused batches to remember: have fewer in flight where the queue is full",
      );
    }
    const checked = this.#check(messages);
    this.lastSeq = seq;
    this.#seenSeq = seq;
    this.known = true;
    const pending: Pending = { seq, settled: false, refusal: null };
    this.#pending.push(pending);
    if (typeof checked !== "number") this.#settle(pending, 1, checked);
    else if (checked === 0) this.#settle(pending, 0, null);
    else {
      this.#topic.accept(messages, checked, options, this.#broadcast, (refusal) =>
        this.#settle(pending, checked, refusal),
      );
    }
  }

  /** How many messages a batch has, or why it is refused. Throws if it is no batch, which ends the stream. */
  #check(messages: Uint8Array): number | Refusal {
    try {
      return checkBatch(messages, 0, messages.length, this.#topic.maxMessageBytes, MAX_BATCH_MESSAGES);
    } catch (thrown) {
      const error = toTinyMQError(thrown);
      if (error.code === "OUT_OF_RANGE") return refusalOf(error);
      throw thrown;
    }
  }

  #settle(pending: Pending, count: number, refusal: Refusal | null): void {
    pending.settled = true;
    pending.refusal = refusal;
    if (refusal !== null) {
      const { messages } = refusal;
      this.#topic.refused(
        messages.length === 0 ? count : messages.reduce((sum, part) => sum + part.count, 0),
      );
    }
    for (let first = this.#pending.first(); first?.settled; first = this.#pending.first()) {
      this.#pending.shift();
      this.#answer(first.seq, first.refusal);
    }
  }

  #answer(seq: number, refusal: Refusal | null): void {
    // An acknowledgement covers all batches below it: on a new connection it must not overtake those sent again.
    const port = seq <= this.#seenSeq ? this.port : null;
    if (refusal === null) {
      port?.acked(seq);
      return;
    }
    this.remember(seq, refusal);
    port?.rejected(seq, refusal);
  }

  /** Remembers how a batch was answered, the last of those so far. */
  remember(seq: number, refusal: Refusal): void {
    const before = this.memory;
    let first = this.#rejected.first();
    for (; first !== undefined && first.last <= seq - MAX_BATCHES_IN_FLIGHT; first = this.#rejected.first()) {
      this.#rejected.shift();
      this.memory -= refusalBytes(first.refusal);
    }
    const last = this.#rejected.last();
    if (last?.last === seq - 1 && isAlike(last.refusal, refusal, false)) last.last = seq;
    else {
      this.#rejected.push({ first: seq, last: seq, refusal });
      this.memory += refusalBytes(refusal);
    }
    if (this.memory !== before) this.#topic.remembers(before, this.memory);
    if (this.memory > this.#topic.mostRemembered) this.#joinRejected();
  }

  /** Batches that follow each other and were refused whole share an entry, whatever the texts say. */
  #joinRejected(): void {
    const before = this.memory;
    let joined: Rejected | undefined;
    for (let left = this.#rejected.length; left > 0; left--) {
      const next = this.#rejected.shift()!;
      if (joined?.last === next.first - 1 && isAlike(joined.refusal, next.refusal, true)) {
        joined.last = next.last;
        this.memory -= refusalBytes(next.refusal);
      } else {
        this.#rejected.push(next);
        joined = next;
      }
    }
    if (this.memory !== before) this.#topic.remembers(before, this.memory);
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
    const rejected = [...this.#rejected].find(({ first, last }) => first <= seq && seq <= last);
    if (rejected === undefined) this.port?.acked(seq);
    else this.port?.rejected(seq, rejected.refusal);
  }
}

/** `anyMessage`: one text will do for both. */
function isAlike(one: Refusal, other: Refusal, anyMessage: boolean): boolean {
  const isWhole = one.messages.length + other.messages.length === 0;
  return isWhole && one.code === other.code && (anyMessage || one.message === other.message);
}

/** Bytes of a refusal that is remembered, measured roughly. */
function refusalBytes({ message, messages }: Refusal): number {
  return 160 + message.length + 48 * messages.length;
}
