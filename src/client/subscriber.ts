/** The subscriber: sees what is sent to one topic, live, and consumes nothing. */
import { type TinyMQError, toTinyMQError } from "../errors.ts";
import { type Published, SubscribeRequest, SubscribeResponse } from "../gen/tinymq/v1/queue.ts";
import type { BatchReader } from "../wire/decode.ts";
import type { Headers } from "../wire/encode.ts";
import { Fifo } from "../wire/fifo.ts";
import { MiB } from "../wire/limits.ts";
import { deadConnection, undecodable, unexpectedAnswer } from "./close-error.ts";
import { type Decoder, text } from "./codecs.ts";
import { Connection, type ConnectionOwner } from "./connection.ts";
import { decodeFrame, encodeFrame } from "./frame-codec.ts";
import { Inbox } from "./inbox.ts";
import { NO_HEADERS } from "./message.ts";
import { MissedCounter } from "./missed-counter.ts";
import type { ConnectionState, SubscriberOptions } from "./options.ts";
import { type ConnectionSettings, connectionSettings, countFrom1 } from "./settings.ts";

const DEFAULT_BUFFER = 10_000;
/** Bytes that wait for a slow loop, whatever `buffer` says. */
const BUFFER_BYTES = 64 * MiB;

/** A message as a subscriber sees it. */
export interface PublishedMessage<T> {
  readonly id: number;
  readonly body: T;
  /** An object without a prototype. */
  readonly headers: Headers;
}

type Step<T> = IteratorResult<PublishedMessage<T>>;

const DONE: IteratorReturnResult<undefined> = Object.freeze({ value: undefined, done: true });

/** A step of a loop that waits for a message. */
class WaitingStep<T> {
  readonly step: Promise<Step<T>>;
  isOver = false;
  #resolve!: (step: Step<T> | Promise<Step<T>>) => void;

  constructor() {
    this.step = new Promise((resolve) => {
      this.#resolve = resolve;
    });
  }

  end(step: Step<T> | Promise<Step<T>>): void {
    this.isOver = true;
    this.#resolve(step);
  }
}

/**
 * Sees the messages of one topic, at most once each, and consumes none. `initConn()` first, `close()` last.
 *
 * @example
 * const subscriber = new Subscriber("localhost", 9800, "orders");
 * await subscriber.initConn();
 * for await (const message of subscriber) console.log(message.body, subscriber.missed);
 */
export class Subscriber<T = string> {
  readonly #settings: ConnectionSettings;
  readonly #codec: Decoder<T>;
  readonly #onInvalid: SubscriberOptions<T>["onInvalid"];
  readonly #buffer: number;
  readonly #connection: Connection;
  readonly #missed = new MissedCounter();
  readonly #inbox = new Inbox();
  /** Steps of loops that wait, the oldest first. */
  readonly #waiters = new Fifo<WaitingStep<T>>();

  /** Does not connect. Throws INVALID_ARGUMENT, and `InvalidTopic` for a name that no topic can have. */
  constructor(host: string, port: number, topic: string, options: SubscriberOptions<T> = {}) {
    this.#settings = connectionSettings("subscriber", host, port, topic, options);
    // Without a codec, T is string: the default of the type parameter.
    this.#codec = options.codec ?? (text as unknown as Decoder<T>);
    this.#onInvalid = options.onInvalid;
    this.#buffer = countFrom1(options.buffer ?? DEFAULT_BUFFER, "buffer");
    this.#connection = new Connection(this.#settings, this.#owner());
  }

  /** The state of the connection. */
  get state(): ConnectionState {
    return this.#connection.state;
  }

  /** How many messages were published since `initConn()` and not seen: lost, dropped from the buffer, or refused. */
  get missed(): number {
    return this.#missed.missed;
  }

  /**
   * Connects. Throws `ConnectionRefusedError`, `Unauthenticated`, `InvalidTopic` or `InitFailed`, and may then be
   * called again.
   */
  initConn(): Promise<void> {
    return this.#connection.init();
  }

  /**
   * Loops over the messages from now on, without end. Messages wait in the buffer while nobody loops. While one step
   * of a loop waits, another is the same: a loop is for one worker. Ends when the subscriber is closed. Throws
   * `DeadConnectionUsed` or CANCELLED.
   */
  [Symbol.asyncIterator](): AsyncIterableIterator<PublishedMessage<T>> {
    let ended = false;
    let waiting: WaitingStep<T> | undefined;
    const loop: AsyncIterableIterator<PublishedMessage<T>> = {
      next: () => {
        if (waiting?.isOver === false) return waiting.step;
        if (ended) return Promise.resolve(DONE);
        try {
          const message = this.#take();
          if (message !== undefined) return Promise.resolve({ value: message, done: false });
        } catch (thrown) {
          return Promise.reject(thrown);
        }
        const { trouble } = this.#connection;
        if (trouble !== undefined)
          return this.#connection.isClosedWell ? Promise.resolve(DONE) : Promise.reject(trouble);
        waiting = new WaitingStep<T>();
        this.#waiters.push(waiting);
        return waiting.step;
      },
      return: () => {
        ended = true;
        if (waiting?.isOver === false) this.#leave(waiting);
        return Promise.resolve(DONE);
      },
      [Symbol.asyncIterator]: () => loop,
    };
    return loop;
  }

  /** Closes. Can be called twice. */
  close(): Promise<void> {
    const closed = this.#connection.close();
    this.#end(undefined);
    return closed;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #leave(waiting: WaitingStep<T>): void {
    for (let index = 0; index < this.#waiters.length; index++) {
      if (this.#waiters.at(index) === waiting) this.#waiters.splice(index, 1);
    }
    waiting.end(DONE);
  }

  /** The oldest message that waits and that the codec takes; undefined if there is none. */
  #take(): PublishedMessage<T> | undefined {
    while (this.#inbox.length > 0) {
      const reader = this.#step();
      const headers = reader.headers() ?? NO_HEADERS;
      try {
        return { id: reader.id, body: this.#codec.decode(reader), headers };
      } catch (thrown) {
        this.#missed.missed += 1;
        this.#tellInvalid(reader.id, headers, thrown);
      }
    }
    return undefined;
  }

  #tellInvalid(id: number, headers: Headers, cause: unknown): void {
    const onInvalid = this.#onInvalid;
    if (onInvalid === undefined) return;
    const error = undecodable(id, cause);
    // In a microtask, so that what it throws is the program's uncaught error and changes nothing here.
    queueMicrotask(() => onInvalid(error, { id, headers }));
  }

  /** Steps over the oldest message that waits. Throws DATA_LOSS where it cannot be read, and ends the connection. */
  #step(): BatchReader {
    try {
      this.#inbox.next();
      return this.#inbox.reader;
    } catch (thrown) {
      // What follows a frame that cannot be read cannot be trusted either.
      this.#inbox.clear();
      this.#connection.fail(toTinyMQError(thrown));
      throw thrown;
    }
  }

  #published({ messages, count }: Published): void {
    if (count === 0) return;
    const inbox = this.#inbox;
    inbox.push(
      { firstPosition: 0, runs: [{ firstOffset: 0, count, redelivered: false, deliveries: 0 }], messages },
      count,
    );
    while (this.#waiters.length > 0 && inbox.length > 0) {
      const message = this.#take();
      if (message !== undefined) this.#waiters.shift()!.end({ value: message, done: false });
    }
    while (inbox.length > this.#buffer || (inbox.length > 0 && inbox.bytes > BUFFER_BYTES)) {
      this.#step();
      this.#missed.missed += 1;
    }
  }

  #end(error: TinyMQError | undefined): void {
    for (const waiting of this.#waiters.drain())
      waiting.end(error === undefined ? DONE : Promise.reject(error));
  }

  #owner(): ConnectionOwner {
    return {
      method: "Subscribe",
      heartbeat: encodeFrame(SubscribeRequest, { kind: { oneofKind: "heartbeat", heartbeat: {} } }),
      finish: encodeFrame(SubscribeRequest, { kind: { oneofKind: "finish", finish: {} } }),
      openFrame: () => {
        const { topic, token } = this.#settings;
        return encodeFrame(SubscribeRequest, { kind: { oneofKind: "open", open: { topic, token } } });
      },
      opened: (frame) => {
        const { kind } = decodeFrame(SubscribeResponse, frame);
        if (kind.oneofKind !== "opened") throw unexpectedAnswer(kind.oneofKind);
        const { epoch, published, limits } = kind.opened;
        this.#missed.opened(epoch, published);
        return { limits, state: "open" };
      },
      receive: (frame) => this.#receive(frame),
      ended: (error) => this.#end(deadConnection(error)),
    };
  }

  #receive(frame: Uint8Array): void {
    const { kind } = decodeFrame(SubscribeResponse, frame);
    switch (kind.oneofKind) {
      case "published": {
        const { epoch, published, count } = kind.published;
        this.#missed.seen(epoch, published, count);
        return this.#published(kind.published);
      }
      case "count":
        return this.#missed.seen(kind.count.epoch, kind.count.published, 0);
      default:
        throw unexpectedAnswer(kind.oneofKind);
    }
  }
}
