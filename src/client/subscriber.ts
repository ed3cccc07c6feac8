/** The subscriber: sees what is sent to one topic, live, and consumes nothing. */
import { TinyMQError, toTinyMQError } from "../errors.ts";
import { type Published, SubscribeRequest, SubscribeResponse } from "../gen/tinymq/v1/queue.ts";
import type { BatchReader } from "../wire/decode.ts";
import type { Headers } from "../wire/encode.ts";
import { Fifo } from "../wire/fifo.ts";
import { MiB } from "../wire/limits.ts";
import { deadConnection, unexpectedAnswer } from "./close-error.ts";
import { type Decoder, text } from "./codecs.ts";
import { Connection, type ConnectionOwner } from "./connection.ts";
import { decodeFrame, encodeFrame } from "./frame-codec.ts";
import { Inbox } from "./inbox.ts";
import { NO_HEADERS } from "./message.ts";
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

/** Sees the messages of one topic, at most once each. `initConn()` first, `close()` last. */
export class Subscriber<T = string> {
  readonly #settings: ConnectionSettings;
  readonly #codec: Decoder<T>;
  readonly #buffer: number;
  readonly #connection: Connection;
  readonly #missed = new MissedCounter();
  readonly #inbox = new Inbox();
  /** Each resolves the step of a loop that waits. */
  readonly #waiters = new Fifo<(step: Step<T> | Promise<Step<T>>) => void>();

  /**
   * Throws INVALID_ARGUMENT, or `InvalidTopic` for a topic's name that is empty, too long or has control
   * characters.
   */
  constructor(host: string, port: number, topic: string, options: SubscriberOptions<T> = {}) {
    this.#settings = connectionSettings("subscriber", host, port, topic, options);
    // Without a codec, T is string: the default of the type parameter.
    this.#codec = options.codec ?? (text as unknown as Decoder<T>);
    this.#buffer = countFrom1(options.buffer ?? DEFAULT_BUFFER, "buffer");
    this.#connection = new Connection(this.#settings, this.#owner());
  }

  /** The state of the connection. */
  get state(): ConnectionState {
    return this.#connection.state;
  }

  /** Messages that were published since `initConn()` and that this subscriber will not see. */
  get missed(): number {
    return this.#missed.missed;
  }

  /** Connects. Throws `ConnectionRefusedError`, `Unauthenticated`, `InvalidTopic` or `InitFailed`. */
  initConn(): Promise<void> {
    return this.#connection.init();
  }

  /**
   * Loops over the messages from now on, without end. Messages wait in the buffer while nobody loops. Ends
   * when the subscriber is closed. Throws `DeadConnectionUsed`, CANCELLED, or DATA_LOSS for a body that the
   * codec refuses; a new loop goes on behind it.
   */
  [Symbol.asyncIterator](): AsyncIterableIterator<PublishedMessage<T>> {
    let ended = false;
    const loop: AsyncIterableIterator<PublishedMessage<T>> = {
      next: () => (ended ? Promise.resolve({ value: undefined, done: true }) : this.#next()),
      return: () => {
        ended = true;
        return Promise.resolve({ value: undefined, done: true });
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

  #next(): Promise<Step<T>> {
    if (this.#inbox.length > 0) return this.#take();
    const { trouble } = this.#connection;
    if (trouble === undefined) return new Promise((resolve) => this.#waiters.push(resolve));
    if (this.#connection.isClosedWell) return Promise.resolve({ value: undefined, done: true });
    return Promise.reject(trouble);
  }

  /** The oldest message that waits; there is one. */
  #take(): Promise<Step<T>> {
    try {
      const reader = this.#step();
      const message = {
        id: reader.id,
        body: this.#codec.decode(reader),
        headers: reader.headers() ?? NO_HEADERS,
      };
      return Promise.resolve({ value: message, done: false });
    } catch (thrown) {
      const why = thrown instanceof Error ? thrown.message : String(thrown);
      return Promise.reject(
        new TinyMQError("DATA_LOSS", `a message cannot be decoded: ${why}`, { cause: thrown }),
      );
    }
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
    while (this.#waiters.length > 0 && inbox.length > 0) this.#waiters.shift()!(this.#take());
    while (inbox.length > this.#buffer || (inbox.length > 0 && inbox.bytes > BUFFER_BYTES)) {
      this.#step();
      this.#missed.missed += 1;
    }
  }

  #end(error: TinyMQError | undefined): void {
    for (const resolve of this.#waiters.drain()) {
      resolve(error === undefined ? { value: undefined, done: true } : Promise.reject(error));
    }
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

/**
 * How many messages a subscriber missed, told by the running counts that the server sends.
 *
 * Always holds: `#expected` is the running count after all that was seen or counted as missed, in `#epoch`.
 */
export class MissedCounter {
  /** Published on the topic while we were subscribed, and not seen. */
  missed = 0;
  #epoch: string | undefined;
  #expected = 0;

  /** A stream is open. What was published between two streams was missed; before the first it was not. */
  opened(epoch: string, published: number): void {
    if (this.#epoch !== undefined) return this.seen(epoch, published, 0);
    this.#epoch = epoch;
    this.#expected = published;
  }

  /** `count` messages came, `published` ones were published before them in this epoch. */
  seen(epoch: string, published: number, count: number): void {
    if (epoch !== this.#epoch) {
      // The topic was made anew. What the old one published last nobody can tell any more.
      this.#epoch = epoch;
      this.#expected = 0;
    }
    // A count from before a frame that was seen already tells nothing new.
    if (published > this.#expected) this.missed += published - this.#expected;
    this.#expected = Math.max(this.#expected, published + count);
  }
}
