/**
 * The producer's side of the Produce protocol: the open batch, the batches waiting to be sent, those in flight, and
 * the server's answers. It knows nothing of codecs.
 *
 * Always holds: messages are sent in the order of `add`; a batch gets its seq when it is first sent, and seqs in
 * flight have no gaps; each batch settles exactly once; `held` is the bytes of all unsettled messages.
 */
import { OutcomeUnknown, SendBufferFull, TinyMQError, WrongAck } from "../errors.ts";
import {
  type Delivery,
  type Limits,
  type MessageRange,
  ProduceRequest,
  ProduceResponse,
} from "../gen/tinymq/v1/queue.ts";
import { BatchWriter, type Headers } from "../wire/encode.ts";
import { Fifo } from "../wire/fifo.ts";
import { readAcked } from "../wire/frames.ts";
import {
  FRAME_SLACK_BYTES,
  KiB,
  MAX_BATCH_MESSAGES,
  MAX_BATCHES_IN_FLIGHT,
  MAX_MESSAGE_BYTES,
} from "../wire/limits.ts";
import { Batch, type Group } from "./batch.ts";
import { deadConnection, rejectionError, unexpectedAnswer } from "./close-error.ts";
import { Connection, type ConnectionOwner } from "./connection.ts";
import { decodeFrame, encodeFrame } from "./frame-codec.ts";
import { type ConnectionSettings, randomId } from "./settings.ts";

/** A batch of this many bytes is sent at once. A frame has this much room besides the largest message. */
const FLUSH_BYTES = 64 * KiB;

/** Upper bound of batches in flight, whatever the server allows. */
const MOST_IN_FLIGHT = 65_536;

const NO_MESSAGES: readonly MessageRange[] = [];

export class Outbox implements ConnectionOwner {
  readonly method = "Produce";
  readonly heartbeat = encodeFrame(ProduceRequest, { kind: { oneofKind: "heartbeat", heartbeat: {} } });
  readonly finish = encodeFrame(ProduceRequest, { kind: { oneofKind: "finish", finish: {} } });
  readonly connection: Connection;
  /** Maximum unacknowledged bytes: `add` throws once so many are held. */
  readonly maxHeld: number;
  readonly #settings: ConnectionSettings;
  readonly #delivery: Delivery;
  readonly #uniqueMs: number;
  readonly #producerId = randomId();
  readonly #writer = new BatchWriter(MAX_MESSAGE_BYTES);
  readonly #waiting = new Fifo<Batch>();
  readonly #inFlight = new Fifo<Batch>();
  #open: Batch | undefined;
  #held = 0;
  #nextSeq = 1;
  /** The server's instance when the last stream opened; "" before the first. */
  #instance = "";
  #flushBytes = FLUSH_BYTES;
  #maxBatchMessages = MAX_BATCH_MESSAGES;
  #maxInFlight = MAX_BATCHES_IN_FLIGHT;
  #flushScheduled = false;
  #onSettled: (() => void)[] = [];

  /** `uniqueMs` applies to every batch; `maxHeld` is in bytes. */
  constructor(settings: ConnectionSettings, delivery: Delivery, uniqueMs: number, maxHeld: number) {
    this.#settings = settings;
    this.#delivery = delivery;
    this.#uniqueMs = uniqueMs;
    this.maxHeld = maxHeld;
    this.connection = new Connection(settings, this);
  }

  /** Bytes of all unsettled messages. */
  get held(): number {
    return this.#held;
  }

  /**
   * Adds one message and returns its batch. Messages of a `group` never share a batch with others. Throws what
   * `BatchWriter.add` throws, and `SendBufferFull`.
   */
  add(
    id: number,
    body: string | Uint8Array,
    headers: Headers | undefined,
    delayMs: number,
    ttlMs: number,
    group: Group | undefined,
  ): Batch {
    if (this.#held >= this.maxHeld) {
      throw new SendBufferFull(
        `${this.#held} bytes are unacknowledged, the limit is ${this.maxHeld}: await earlier sends`,
      );
    }
    let batch = this.#open;
    if (
      batch !== undefined &&
      (batch.delayMs !== delayMs || batch.ttlMs !== ttlMs || batch.group !== group)
    ) {
      this.#seal(batch);
      this.#pump();
      batch = undefined;
    }
    this.#held += this.#writer.add(id, body, headers);
    if (batch === undefined) {
      batch = new Batch(delayMs, ttlMs, group);
      this.#open = batch;
      if (!this.#flushScheduled) {
        this.#flushScheduled = true;
        queueMicrotask(this.#flush);
      }
    }
    if (this.#writer.size >= this.#flushBytes || this.#writer.count >= this.#maxBatchMessages) {
      this.#seal(batch);
      this.#pump();
    }
    return batch;
  }

  /** Rejects everything unsettled with `error`, since no more answers will come. */
  fail(error: TinyMQError): void {
    if (this.#open !== undefined) this.#seal(this.#open);
    for (const batch of this.#inFlight.drain()) this.#settle(batch, error);
    for (const batch of this.#waiting.drain()) this.#settle(batch, error);
  }

  /** Resolves when the next batch settles. */
  nextSettled(): Promise<void> {
    return new Promise((resolve) => this.#onSettled.push(resolve));
  }

  openFrame(): Uint8Array<ArrayBuffer> {
    const { topic, token } = this.#settings;
    const open = {
      topic,
      token,
      delivery: this.#delivery,
      producerId: this.#producerId,
      firstSeq: this.#inFlight.first()?.seq ?? this.#nextSeq,
      instance: this.#instance,
    };
    return encodeFrame(ProduceRequest, { kind: { oneofKind: "open", open } });
  }

  /** Sends again what was in flight, unless its outcome cannot be known; then sends what is waiting. */
  opened(frame: Uint8Array): { limits: Limits | undefined; state: "open" } {
    const { kind } = decodeFrame(ProduceResponse, frame);
    if (kind.oneofKind !== "opened") throw unexpectedAnswer(kind.oneofKind);
    const { instance, known, lastSeq, limits } = kind.opened;
    if (known && lastSeq >= this.#nextSeq) throw sharedProducerId(lastSeq, this.#nextSeq);
    // Still the same memory, but without this producer: batches in flight may have been stored or not.
    if (this.#instance !== "" && !known && instance === this.#instance) this.#giveUp();
    this.#instance = instance;
    if (limits !== undefined) this.#limit(limits);
    for (const batch of this.#inFlight) this.#send(batch);
    this.#pump();
    return { limits, state: "open" };
  }

  receive(frame: Uint8Array): void {
    const { kind } = readAcked(frame) ?? decodeFrame(ProduceResponse, frame);
    switch (kind.oneofKind) {
      case "acked":
        return this.#acked(kind.acked.seq);
      case "rejected": {
        const { seq, code, message, messages } = kind.rejected;
        return this.#rejected(seq, rejectionError(code, message), messages);
      }
      case "heartbeat":
        return;
      default:
        throw unexpectedAnswer(kind.oneofKind);
    }
  }

  ended(error: TinyMQError): void {
    this.fail(error instanceof WrongAck ? error : deadConnection(error));
  }

  /** Fails the batches in flight, which may be stored or not. Batches not sent yet take over their seqs. */
  #giveUp(): void {
    const error = new OutcomeUnknown("the server forgot this producer: the message may be stored or not");
    this.#nextSeq -= this.#inFlight.length;
    for (const batch of this.#inFlight.drain()) this.#settle(batch, error);
  }

  /** Applies the server's limits; 0 stands for the default. */
  #limit({ maxMessageBytes, maxFrameBytes, maxBatchMessages, maxInFlight }: Limits): void {
    this.#writer.maxMessageBytes = maxMessageBytes || MAX_MESSAGE_BYTES;
    this.#maxBatchMessages = maxBatchMessages || MAX_BATCH_MESSAGES;
    this.#maxInFlight = Math.min(maxInFlight || MAX_BATCHES_IN_FLIGHT, MOST_IN_FLIGHT);
    // A batch just below this size and one more message must fit into a frame.
    const room =
      maxFrameBytes === 0 ? FLUSH_BYTES : maxFrameBytes - this.#writer.maxMessageBytes - FRAME_SLACK_BYTES;
    this.#flushBytes = Math.max(1, Math.min(FLUSH_BYTES, room));
  }

  /** Every batch up to `seq` is stored. Throws `WrongAck` if `seq` is not in flight. */
  #acked(seq: number): void {
    this.#expect(seq);
    while (this.#inFlight.length > 0 && this.#inFlight.first()!.seq <= seq) {
      this.#settle(this.#inFlight.shift()!, undefined);
    }
    this.#pump();
  }

  /** These messages of batch `seq` were not stored. Throws `WrongAck` if it is not the oldest in flight. */
  #rejected(seq: number, error: TinyMQError, messages: readonly MessageRange[]): void {
    this.#expect(seq);
    const first = this.#inFlight.first()!.seq;
    if (seq !== first) throw new WrongAck(`batch ${seq} was rejected before batch ${first} was answered`);
    this.#settle(this.#inFlight.shift()!, error, messages);
    this.#pump();
  }

  /** Runs at the end of a tick: sends as much as may be in flight. The rest waits, and the open batch may grow. */
  readonly #flush = (): void => {
    this.#flushScheduled = false;
    this.#pump();
  };

  #pump(): void {
    if (!this.connection.isOpen) return;
    while (this.#inFlight.length < this.#maxInFlight) {
      let batch = this.#waiting.shift();
      if (batch === undefined) {
        // The current tick may still add to the open batch; its microtask will send that.
        if (this.#open === undefined || this.#flushScheduled) return;
        this.#seal(this.#open);
        batch = this.#waiting.shift()!;
      }
      batch.seq = this.#nextSeq++;
      this.#inFlight.push(batch);
      this.#send(batch);
    }
  }

  #send(batch: Batch): void {
    this.connection.send(batch.encoded!.frame(batch.seq, batch.delayMs, batch.ttlMs, this.#uniqueMs));
  }

  #seal(batch: Batch): void {
    batch.encoded = this.#writer.seal();
    this.#waiting.push(batch);
    this.#open = undefined;
  }

  #settle(batch: Batch, error: TinyMQError | undefined, refused = NO_MESSAGES): void {
    this.#held -= batch.encoded!.size;
    batch.settle(error, refused);
    if (this.#onSettled.length === 0) return;
    const listeners = this.#onSettled;
    this.#onSettled = [];
    for (const listener of listeners) listener();
  }

  #expect(seq: number): void {
    const first = this.#inFlight.first()?.seq;
    if (first !== undefined && seq >= first && seq <= this.#inFlight.last()!.seq) return;
    throw new WrongAck(`the server answered batch ${seq}, which is not in flight`);
  }
}

/** Ids are random, so the other producer must have copied this one's. */
function sharedProducerId(lastSeq: number, nextSeq: number): TinyMQError {
  return new TinyMQError(
    "ABORTED",
    `another program uses this producer's id: the server has its batch ${lastSeq}, this one has sent ${nextSeq - 1}; ` +
      "make a new producer, which draws an id of its own",
  );
}
