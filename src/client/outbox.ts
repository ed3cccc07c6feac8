/**
 * What a producer has not seen stored: the batch that is being filled, the batches that wait for room in
 * flight, and those in flight.
 *
 * Always holds: order is the order of `add`; a batch has a seq from the moment it is first sent, seqs in
 * flight are without gaps; each batch settles exactly once; `held` is the bytes of all batches not settled.
 */
import { OutcomeUnknown, SendBufferFull, type TinyMQError, WrongAck } from "../errors.ts";
import { BatchWriter, type Headers } from "../wire/encode.ts";
import type { EncodedBatch } from "../wire/encoded-batch.ts";
import { Fifo } from "../wire/fifo.ts";
import {
  FRAME_SLACK_BYTES,
  KiB,
  MAX_BATCH_MESSAGES,
  MAX_BATCHES_IN_FLIGHT,
  MAX_MESSAGE_BYTES,
} from "../wire/limits.ts";
import { rejectionError } from "./close-error.ts";

/** A batch of this many bytes goes out at once. The server's frames have so much room beside a message. */
const FLUSH_BYTES = 64 * KiB;

/** Limits of the server; bytes. */
export interface OutboxLimits {
  readonly maxMessageBytes: number;
  readonly maxFrameBytes: number;
  readonly maxBatchMessages: number;
  readonly maxInFlight: number;
}

/** Where frames go. */
export interface OutboxLink {
  readonly isOpen: boolean;
  send(frame: Uint8Array<ArrayBuffer>): void;
}

/** One batch: what it holds, its options in ms, and who waits for it. */
interface Batch {
  readonly delayMs: number;
  readonly ttlMs: number;
  /** Settles when the server answered. Every send of the batch has a promise of its own behind it. */
  readonly settled: Promise<void>;
  readonly resolve: () => void;
  readonly reject: (error: TinyMQError) => void;
  encoded: EncodedBatch | undefined;
  /** 0 until it is first sent. */
  seq: number;
}

export class Outbox {
  readonly #link: OutboxLink;
  readonly #uniqueMs: number;
  readonly #maxHeld: number;
  readonly #writer = new BatchWriter(MAX_MESSAGE_BYTES);
  readonly #waiting = new Fifo<Batch>();
  readonly #inFlight = new Fifo<Batch>();
  #open: Batch | undefined;
  #held = 0;
  #nextSeq = 1;
  #flushBytes = FLUSH_BYTES;
  #maxBatchMessages = MAX_BATCH_MESSAGES;
  #maxInFlight = MAX_BATCHES_IN_FLIGHT;
  #flushScheduled = false;
  #onSettled: (() => void)[] = [];

  /** `uniqueMs` holds for every batch; above `maxHeld` bytes `add` throws. */
  constructor(link: OutboxLink, uniqueMs: number, maxHeld: number) {
    this.#link = link;
    this.#uniqueMs = uniqueMs;
    this.#maxHeld = maxHeld;
  }

  /** Bytes that are not answered yet. */
  get held(): number {
    return this.#held;
  }

  /** The lowest seq that was not answered; the next one if all were. */
  get firstSeq(): number {
    return this.#inFlight.first()?.seq ?? this.#nextSeq;
  }

  /** Bytes that `add` takes before it throws. */
  get maxHeld(): number {
    return this.#maxHeld;
  }

  /** What the server allows from now on. */
  limit(limits: OutboxLimits): void {
    const { maxMessageBytes, maxFrameBytes } = limits;
    this.#writer.maxMessageBytes = maxMessageBytes || MAX_MESSAGE_BYTES;
    this.#maxBatchMessages = limits.maxBatchMessages || MAX_BATCH_MESSAGES;
    this.#maxInFlight = limits.maxInFlight || MAX_BATCHES_IN_FLIGHT;
    // What is below this and one more message must fit into a frame.
    const room =
      maxFrameBytes === 0 ? FLUSH_BYTES : maxFrameBytes - this.#writer.maxMessageBytes - FRAME_SLACK_BYTES;
    this.#flushBytes = Math.max(1, Math.min(FLUSH_BYTES, room));
  }

  /**
   * Adds one message; the promise settles with the batch that it goes in. Throws what `BatchWriter.add`
   * throws, and `SendBufferFull`.
   */
  add(
    id: number,
    body: string | Uint8Array,
    headers: Headers | undefined,
    delayMs: number,
    ttlMs: number,
  ): Promise<void> {
    if (this.#held >= this.#maxHeld) {
      throw new SendBufferFull(`${this.#held} bytes are not acknowledged yet, ${this.#maxHeld} may be`);
    }
    let batch = this.#open;
    if (batch !== undefined && (batch.delayMs !== delayMs || batch.ttlMs !== ttlMs)) {
      this.#seal(batch);
      this.#pump();
      batch = undefined;
    }
    this.#held += this.#writer.add(id, body, headers);
    if (batch === undefined) {
      batch = newBatch(delayMs, ttlMs);
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
    return batch.settled;
  }

  /** After `limit`: sends again what is in flight, and then what waits. */
  resume(): void {
    for (const batch of this.#inFlight) this.#send(batch);
    this.#pump();
  }

  /**
   * The server forgot this producer and kept its messages: what was in flight may be stored or not, and is
   * given up. What was never sent takes its seqs.
   */
  forget(): void {
    this.#nextSeq = this.firstSeq;
    const error = new OutcomeUnknown("the server forgot this producer: it cannot be known what it stored");
    for (const batch of this.#inFlight.drain()) this.#settle(batch, error);
  }

  /** Every batch up to `seq` is stored. Throws `WrongAck` if none of them is in flight. */
  acked(seq: number): void {
    this.#expect(seq);
    for (
      let batch = this.#inFlight.first();
      batch !== undefined && batch.seq <= seq;
      batch = this.#inFlight.first()
    ) {
      this.#inFlight.shift();
      this.#settle(batch, undefined);
    }
    this.#pump();
  }

  /** Batch `seq` was refused. Throws `WrongAck` if it is not the oldest in flight. */
  rejected(seq: number, code: number, message: string): void {
    this.#expect(seq);
    if (seq !== this.#inFlight.first()!.seq) {
      throw new WrongAck(`batch ${seq} was rejected before batch ${this.firstSeq} was answered`);
    }
    this.#settle(this.#inFlight.shift()!, rejectionError(code, message));
    this.#pump();
  }

  /** Nothing more will be answered: everything rejects with `error`. */
  fail(error: TinyMQError): void {
    if (this.#open !== undefined) this.#seal(this.#open);
    for (const batch of this.#inFlight.drain()) this.#settle(batch, error);
    for (const batch of this.#waiting.drain()) this.#settle(batch, error);
  }

  /** Resolves when one more batch settled. */
  nextSettled(): Promise<void> {
    return new Promise((resolve) => this.#onSettled.push(resolve));
  }

  /** Sends what there is room for; the rest of the open batch may still grow. */
  readonly #flush = (): void => {
    this.#flushScheduled = false;
    this.#pump();
  };

  #pump(): void {
    if (!this.#link.isOpen) return;
    while (this.#inFlight.length < this.#maxInFlight) {
      let batch = this.#waiting.shift();
      if (batch === undefined) {
        // A tick that is not over yet may add to it; its microtask will come.
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
    this.#link.send(batch.encoded!.frame(batch.seq, batch.delayMs, batch.ttlMs, this.#uniqueMs));
  }

  #seal(batch: Batch): void {
    batch.encoded = this.#writer.seal();
    this.#waiting.push(batch);
    this.#open = undefined;
  }

  #settle(batch: Batch, error: TinyMQError | undefined): void {
    this.#held -= batch.encoded!.size;
    batch.encoded!.release();
    if (error === undefined) batch.resolve();
    else batch.reject(error);
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

function newBatch(delayMs: number, ttlMs: number): Batch {
  let resolve!: () => void;
  let reject!: (error: TinyMQError) => void;
  const settled = new Promise<void>((done, failed) => {
    resolve = done;
    reject = failed;
  });
  return { delayMs, ttlMs, settled, resolve, reject, encoded: undefined, seq: 0 };
}
