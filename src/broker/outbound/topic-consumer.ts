/** One consume stream as the broker sees it: its lease, its pulls, and what it does with its messages. */
import { TinyMQError } from "../../errors.ts";
import type { Due } from "../due-heap.ts";
import type { ConsumerPort } from "../ports.ts";
import type { Timer } from "../timers.ts";
import { Lease } from "./lease.ts";

/** Maximum runs left in a lease by settling out of order: all are given back in one turn when the stream ends. */
const MOST_PIECES = 16_384;

export type ConsumerMode = "exclusive" | "standby" | "shared";
export type Outcome = "done" | "retry" | "reject";

/** A pull without an answer. */
export interface Pull extends Due {
  readonly consumer: TopicConsumer;
  readonly pullId: number;
  readonly maxMessages: number;
  readonly maxBytes: number;
  /** Wants an answer at once, if it is `empty`. */
  readonly impatient: boolean;
  /** Ends the wait. */
  timer: Timer | null;
}

/** How messages are given back. */
export interface Return {
  /** They are held back for so long. */
  readonly delayMs: number;
  /** Whether only they are held back, and not all that is behind them. */
  readonly alone: boolean;
  /** "": none was given. */
  readonly reason: string;
}

/** What a consumer needs of its topic. */
export interface LeasedTopic {
  readonly name: string;
  /** See `TopicHost`. */
  readonly piecePressure: number;
  /** Removes leased messages: they are consumed. */
  done(firstOffset: number, count: number): void;
  /** Where leased messages go that are not consumed. */
  readonly returns: {
    /** Takes leased messages back, to be delivered again; `deliveries` is how often they were delivered. */
    giveBack(firstOffset: number, count: number, deliveries: number, how?: Return): void;
    /** Moves leased messages to the dead letters, once `bury` is called. */
    reject(firstOffset: number, count: number, deliveries: number, reason: string): void;
    /** Moves what was rejected, or delivered too often, to the dead letters: called once all of it is. */
    bury(): void;
  };
}

/** What a consumer needs of its topic's dispatcher. */
export interface ConsumerDispatcher {
  pull(consumer: TopicConsumer, pullId: number, maxMessages: number, maxBytes: number, waitMs: number): void;
  cancelPulls(consumer: TopicConsumer): void;
  resumed(consumer: TopicConsumer): void;
  close(consumer: TopicConsumer, clean: boolean): void;
  /** Something was settled or given back. */
  leaseChanged(consumer: TopicConsumer): void;
  pump(): void;
}

export class TopicConsumer {
  readonly topic: LeasedTopic;
  readonly #dispatcher: ConsumerDispatcher;
  readonly id: string;
  readonly mode: ConsumerMode;
  readonly port: ConsumerPort;
  readonly lease = new Lease();
  /** Whether it may take messages: it holds the lock, or is shared. */
  active = false;
  closed = false;
  /** Whether it holds as many runs as it may, so that its pulls wait. */
  isStalled = false;
  /** Positions settled so far, each once; what a rewind gave back is not among them. */
  settled = 0;
  /** Positions below were handed to the program, as far as its client said. */
  #handed = 0;
  /** Bytes of `lease` that are charged. */
  charged = 0;
  /** Those without an answer, the oldest first. */
  readonly pulls = new Set<Pull>();

  constructor(
    topic: LeasedTopic,
    dispatcher: ConsumerDispatcher,
    id: string,
    mode: ConsumerMode,
    port: ConsumerPort,
  ) {
    this.topic = topic;
    this.#dispatcher = dispatcher;
    this.id = id;
    this.mode = mode;
    this.port = port;
  }

  /** Takes a pull; the port hears the answer, in this turn or later. Throws at the 65th without an answer. */
  pull(pullId: number, maxMessages: number, maxBytes: number, waitMs: number): void {
    this.#dispatcher.pull(this, pullId, maxMessages, maxBytes, waitMs);
  }

  /** Answers waiting pulls as long as there are messages for them. */
  pump(): void {
    this.#dispatcher.pump();
  }

  /** Its client reads again. */
  resumed(): void {
    this.#dispatcher.resumed(this);
  }

  /** Its stream ended: what it did not settle returns, and the next in line holds the lock. */
  close(clean: boolean): void {
    this.#dispatcher.close(this, clean);
  }

  /** Every unsettled position below `count` is done. Throws INVALID_ARGUMENT above what was delivered. */
  ack(count: number): void {
    this.#checkDelivered(count);
    this.lease.takeBelow(count, (firstOffset, messages) => {
      this.settled += messages;
      this.topic.done(firstOffset, messages);
    });
    this.#handed = Math.max(this.#handed, count);
    this.#dispatcher.leaseChanged(this);
  }

  /** Every position below `count` was handed to the program. Throws INVALID_ARGUMENT above what was delivered. */
  handed(count: number): void {
    this.#checkDelivered(count);
    this.#handed = Math.max(this.#handed, count);
  }

  /**
   * Settles what is unsettled of [position, position + count). Throws RESOURCE_EXHAUSTED where what is left, or
   * given back, is in too many pieces.
   */
  settle(position: number, count: number, outcome: Outcome, reason: string, delayMs: number): void {
    this.#checkDelivered(position + count);
    if (outcome !== "done") this.#checkPieces();
    const before = this.lease.runs;
    const runs = this.lease.take(position, position + count);
    this.#handed = Math.max(this.#handed, position + count);
    for (const run of runs) {
      this.settled += run.count;
      if (outcome === "done") this.topic.done(run.firstOffset, run.count);
      else if (outcome === "reject")
        this.topic.returns.reject(run.firstOffset, run.count, run.deliveries + 1, reason);
      else
        this.topic.returns.giveBack(run.firstOffset, run.count, run.deliveries + 1, {
          delayMs,
          alone: true,
          reason,
        });
    }
    this.#dispatcher.leaseChanged(this);
    if (this.lease.runs > before) this.#checkPieces();
    if (outcome === "retry") this.#dispatcher.pump();
  }

  /**
   * Gives back `position`, counted as a retry, and every later unsettled position, not counted. With a delay
   * the message at `position` holds itself and all behind it back until that is over. The caller tells its
   * client afterwards and then calls `pump()`. Throws INVALID_ARGUMENT above what was delivered, RESOURCE_EXHAUSTED
   * where what was given back is in too many pieces.
   */
  rewind(position: number, reason: string, delayMs: number): void {
    this.#checkDelivered(position);
    this.#checkPieces();
    for (const run of this.lease.take(position, this.lease.nextPosition)) {
      let { firstOffset, count } = run;
      if (run.position === position) {
        this.topic.returns.giveBack(firstOffset, 1, run.deliveries + 1, { delayMs, alone: false, reason });
        firstOffset += 1;
        count -= 1;
      }
      if (count > 0) this.topic.returns.giveBack(firstOffset, count, run.deliveries);
    }
    // Not before: an answer may end the stream, which would give the messages back in another way.
    this.#dispatcher.cancelPulls(this);
    this.#dispatcher.leaseChanged(this);
  }

  /**
   * Gives back all that is unsettled. An unclean end counts a delivery for what the program was handed: it may
   * be what the program died of. What was prefetched behind it does not count.
   */
  returnLeases(clean: boolean): void {
    const handed = clean ? 0 : this.#handed;
    for (const { position, firstOffset, count, deliveries } of this.lease.takeAll()) {
      const counted = Math.min(count, Math.max(0, handed - position));
      if (counted > 0) this.topic.returns.giveBack(firstOffset, counted, deliveries + 1);
      if (counted < count) this.topic.returns.giveBack(firstOffset + counted, count - counted, deliveries);
    }
  }

  #checkPieces(): void {
    if (this.lease.runs > MOST_PIECES) {
      throw new TinyMQError(
        "RESOURCE_EXHAUSTED",
        `what this consumer holds unsettled is in more than ${MOST_PIECES} pieces: hold less, or settle more in order`,
      );
    }
    if (this.topic.piecePressure > 2) {
      throw new TinyMQError(
        "RESOURCE_EXHAUSTED",
        `memory is full, and too much is noted of messages of topic "${this.topic.name}" that were settled one by one: acknowledge some before you retry or reject others`,
      );
    }
  }

  #checkDelivered(end: number): void {
    if (end > this.lease.nextPosition) {
      throw new TinyMQError(
        "INVALID_ARGUMENT",
        `position ${end} is above the ${this.lease.nextPosition} messages delivered on this stream`,
      );
    }
  }
}
