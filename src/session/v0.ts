/**
 * The server's end of a first-version connection: one producer or one consumer, one message at a time. It uses the
 * same topics and locks as v1 streams.
 *
 * States: `opening` (before ConnInit), `producing`, `consuming`, `ended`.
 */

import type { TopicProducer } from "../broker/inbound/topic-producer.ts";
import type { TopicConsumer } from "../broker/outbound/topic-consumer.ts";
import {
  type ConsumerPort,
  type Delivery,
  NO_OPTIONS,
  type ProducerPort,
  type Refusal,
} from "../broker/ports.ts";
import type { Timer } from "../broker/timers.ts";
import type { Topic } from "../broker/topic.ts";
import { TinyMQError, toTinyMQError } from "../errors.ts";
import { Ack, ConnInit, ConnStatus, ContentRead, ContentWrite, Poll } from "../gen/tinymq/v0/message.ts";
import { Batch } from "../gen/tinymq/v1/queue.ts";
import { concatBytes } from "../wire/bytes.ts";
import { closeCodeOf, closeReason, isCleanClose } from "../wire/close.ts";
import { MiB } from "../wire/limits.ts";
import { logEnd, type SessionContext } from "./context.ts";
import type { FrameSocket, OpenSession, Session } from "./frame-socket.ts";
import { authorize, decodeFrame } from "./open.ts";
import { SessionWriter } from "./session-writer.ts";

const ROLE_PRODUCER = 1;
const ROLE_CONSUMER = 2;
const STATUS_OPEN = 1000;
const STATUS_UNCONSUMABLE = 4000;
const STATUS_SUCCESS = 2000;
const STATUS_QUEUE_EMPTY = 2001;
const EMPTY = ContentRead.toBinary({ id: 0, status: STATUS_QUEUE_EMPTY, body: Uint8Array.of(0) });

const MAX_ID = 2 ** 32 - 1;
/** First-version clients refuse larger frames. */
const MAX_READ_BYTES = MiB;
/** First-version clients send no heartbeats, but answer pings. */
const PING_MS = 15_000;
const DEAD_AFTER_MS = 40_000;

/** The first version has no ids of producers, and sends nothing again. */
const ANONYMOUS = { id: "", firstSeq: 1, broadcast: false, hasPast: false };

/** The session of a connection without a subprotocol. */
export const firstVersionSession: OpenSession = (path, socket, context) =>
  new FirstVersionSession(socket, context, path.slice(1));

class FirstVersionSession implements Session, ProducerPort, ConsumerPort {
  readonly #socket: FrameSocket;
  readonly #context: SessionContext;
  readonly #path: string;
  #state: "opening" | "producing" | "consuming" | "ended" = "opening";
  readonly #writer: SessionWriter;
  #topic: Topic | null = null;
  #producer: TopicProducer | null = null;
  #consumer: TopicConsumer | null = null;
  /** The number of the last ContentWrite, and the ids of those without an answer. */
  #seq = 0;
  readonly #writtenIds: number[] = [];
  #lastReceived: number;
  #timer: Timer | null = null;

  /** `path` is the URL's path without its first slash: the topic, if ConnInit names none. */
  constructor(socket: FrameSocket, context: SessionContext, path: string) {
    this.#socket = socket;
    this.#context = context;
    this.#path = path;
    this.#writer = new SessionWriter(socket, context, (error) => this.fail(error));
    this.#lastReceived = context.broker.clock.now();
  }

  get writable(): boolean {
    return !this.#writer.blocked && this.#state !== "ended";
  }

  message(frame: Uint8Array): void {
    this.pong();
    try {
      if (this.#state === "opening") this.#open(frame);
      else if (this.#state === "producing") this.#write(frame);
      else if (this.#state === "consuming") this.#poll(frame);
    } catch (error) {
      this.fail(toTinyMQError(error));
    }
  }

  text(): void {
    this.fail(new TinyMQError("INVALID_ARGUMENT", "a text frame: tinyMQ speaks binary frames only"));
  }

  pong(): void {
    this.#lastReceived = this.#context.broker.clock.now();
  }

  drained(): void {
    if (this.#writer.drained()) this.#consumer?.resumed();
  }

  closed(code: number): void {
    const clean = isCleanClose(code);
    // A clean close acknowledges the last message, as the next poll would have.
    if (clean && this.#consumer !== null) this.#consumer.ack(this.#consumer.lease.nextPosition);
    this.#release(clean);
  }

  stop(code: number, reason: string): void {
    if (this.#state === "ended") return;
    this.#release(true);
    this.#socket.close(code, closeReason(reason));
  }

  /** Ends the connection with an error; all that first-version clients see of it is the close. */
  fail(error: TinyMQError): void {
    if (this.#state === "ended") return;
    logEnd(this.#context, error);
    this.#release(false);
    this.#socket.close(closeCodeOf(error.code), closeReason(error.message));
  }

  close(error: TinyMQError): void {
    this.fail(error);
  }

  acked(_seq: number): void {
    this.#writer.send(Ack.toBinary({ id: this.#writtenIds.shift()! }));
  }

  /** The first version has no frame for a rejection, so the connection ends. */
  rejected(_seq: number, { code, message }: Refusal): void {
    this.fail(new TinyMQError(code, message));
  }

  deliver(_pullId: number, _firstPosition: number, delivery: Delivery): void {
    // The client polls one message at a time, so the program gets it at once.
    this.#consumer?.handed(this.#consumer.lease.nextPosition);
    const { messages } = Batch.fromBinary(concatBytes(delivery.parts));
    const { id, body } = messages[0]!;
    // The generated code throws for an id that fixed32 cannot hold.
    const frame = id <= MAX_ID ? ContentRead.toBinary({ id, status: STATUS_SUCCESS, body }) : null;
    if (frame !== null && frame.length <= MAX_READ_BYTES) {
      this.#writer.send(frame);
      return;
    }
    const why = frame === null ? `its id ${id} is above 2^32-1` : `it needs a frame of ${frame.length} bytes`;
    const error = new TinyMQError(
      "OUT_OF_RANGE",
      `the next message cannot be sent to a first-version client: ${why}`,
    );
    this.#context.misbehaved(`topic "${this.#consumer?.topic.name}": ${error.message}`);
    // The message was not sent, so its delivery does not count.
    this.#release(true);
    this.#socket.close(closeCodeOf(error.code), closeReason(error.message));
  }

  empty(_pullId: number): void {
    this.#writer.send(EMPTY);
  }

  promoted(): void {
    // First-version consumers are exclusive: they never wait in line.
  }

  #open(frame: Uint8Array): void {
    const init = decodeFrame(ConnInit, frame);
    const name = init.topic !== undefined && init.topic !== "" ? init.topic : this.#path;
    const { broker } = this.#context;
    const none = new Uint8Array(0);
    if (init.role === ROLE_PRODUCER) {
      authorize(this.#context, init.authToken ?? "", "produce", name);
      const { topic, producer } = broker.openProducer(name, ANONYMOUS, this);
      this.#topic = topic;
      this.#producer = producer;
      this.#opened("producing");
    } else if (init.role === ROLE_CONSUMER) {
      authorize(this.#context, init.authToken ?? "", "consume", name);
      try {
        this.#consumer = broker.openConsumer(name, none, "exclusive", this);
      } catch (thrown) {
        const error = toTinyMQError(thrown);
        if (error.code === "FAILED_PRECONDITION")
          this.#writer.send(ConnStatus.toBinary({ status: STATUS_UNCONSUMABLE }));
        throw error;
      }
      this.#opened("consuming");
    } else {
      throw new TinyMQError(
        "INVALID_ARGUMENT",
        `ConnInit has role ${init.role}; 1 is a producer, 2 a consumer`,
      );
    }
  }

  #opened(state: "producing" | "consuming"): void {
    this.#state = state;
    this.#socket.opened();
    this.#writer.send(ConnStatus.toBinary({ status: STATUS_OPEN }));
    this.#watch();
  }

  #write(frame: Uint8Array): void {
    const { id, body } = decodeFrame(ContentWrite, frame);
    if (id === undefined || body === undefined)
      throw new TinyMQError("INVALID_ARGUMENT", "ContentWrite lacks id or body");
    this.#writtenIds.push(id);
    this.#seq += 1;
    this.#producer?.produce(this.#seq, Batch.toBinary({ messages: [{ id, body, headers: {} }] }), NO_OPTIONS);
  }

  #poll(frame: Uint8Array): void {
    decodeFrame(Poll, frame);
    const consumer = this.#consumer;
    if (consumer === null) return;
    consumer.ack(consumer.lease.nextPosition);
    consumer.pull(0, 1, MAX_READ_BYTES, 0);
  }

  #watch(): void {
    if (this.#state === "ended") return;
    const { clock, timers } = this.#context.broker;
    if (clock.now() - this.#lastReceived >= DEAD_AFTER_MS) {
      this.fail(new TinyMQError("UNAVAILABLE", "nothing came from the client for 40 s"));
      this.#socket.terminate();
      return;
    }
    this.#socket.ping();
    const silent = clock.now() - this.#lastReceived;
    this.#timer = timers.after(Math.min(PING_MS, DEAD_AFTER_MS - silent), () => this.#watch());
  }

  #release(clean: boolean): void {
    if (this.#state === "ended") return;
    this.#state = "ended";
    this.#context.broker.timers.cancel(this.#timer);
    this.#writer.end();
    this.#leave(clean);
  }

  #leave(clean: boolean): void {
    if (this.#producer !== null) this.#topic?.producers.close(this.#producer, this, clean);
    const consumer = this.#consumer;
    this.#producer = null;
    this.#consumer = null;
    consumer?.close(clean);
  }
}
