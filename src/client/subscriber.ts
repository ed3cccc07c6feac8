/** The subscriber: sees what is sent to one topic, live, and consumes nothing. */
import { TinyMQError } from "../errors.ts";
import type { SubscribeRequest, SubscribeResponse } from "../gen/tinymq/v1/queue.ts";
import { BatchReader } from "../wire/decode.ts";
import type { Headers } from "../wire/encode.ts";
import { Fifo } from "../wire/fifo.ts";
import { MiB } from "../wire/limits.ts";
import { deadConnection, unexpectedAnswer } from "./close-error.ts";
import { type Decoder, text } from "./codecs.ts";
import { Connection, type ConnectionOwner } from "./connection.ts";
import {
  type ConnectionOptions,
  type ConnectionSettings,
  type ConnectionState,
  connectionSettings,
} from "./connection-options.ts";
import { NO_HEADERS } from "./message.ts";
import { MissedCounter } from "./missed.ts";

const DEFAULT_BUFFER = 10_000;
/** Bytes that wait for a slow loop, whatever `buffer` says. */
const BUFFER_BYTES = 64 * MiB;

/** Options of a subscriber. */
export interface SubscriberOptions<T = string> extends ConnectionOptions {
  /** What bodies are. Default `text`: strings. */
  codec?: Decoder<T>;
  /** Messages that may wait here for a slow loop; beyond, the oldest are dropped and missed. Default 10,000. */
  buffer?: number;
}

/** A message as a subscriber sees it. */
export interface PublishedMessage<T> {
  readonly id: number;
  readonly body: T;
  /** An object without a prototype. */
  readonly headers: Headers;
}

interface Frame {
  readonly reader: BatchReader;
  readonly bytes: number;
  left: number;
}

interface Waiter<T> {
  resolve(result: IteratorResult<PublishedMessage<T>> | Promise<IteratorResult<PublishedMessage<T>>>): void;
}

/** Sees the messages of one topic, at most once each. `initConn()` first, `close()` last. */
export class Subscriber<T = string> {
  readonly #settings: ConnectionSettings;
  readonly #codec: Decoder<T>;
  readonly #buffer: number;
  readonly #connection: Connection<SubscribeRequest, SubscribeResponse>;
  readonly #missed = new MissedCounter();
  readonly #frames = new Fifo<Frame>();
  readonly #waiters = new Fifo<Waiter<T>>();
  /** Of `#frames`. */
  #waiting = 0;
  #bytes = 0;

  /** Throws INVALID_ARGUMENT or `InvalidTopic` for what cannot be. */
  constructor(host: string, port: number, topic: string, options: SubscriberOptions<T> = {}) {
    this.#settings = connectionSettings(host, port, topic, options);
    // Without a codec, T is string: the default of the type parameter.
    this.#codec = options.codec ?? (text as unknown as Decoder<T>);
    this.#buffer = options.buffer ?? DEFAULT_BUFFER;
    if (!Number.isSafeInteger(this.#buffer) || this.#buffer < 1) {
      throw new TinyMQError("INVALID_ARGUMENT", `buffer is an integer from 1, not ${String(options.buffer)}`);
    }
    this.#connection = new Connection(this.#settings, this.#owner());
  }

  /** How the connection is. */
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
   * The messages from now on, without end. Messages wait in the buffer while nobody loops. Ends when the
   * subscriber is closed. Throws `DeadConnectionUsed`, CANCELLED, or DATA_LOSS for a body that the codec
   * refuses; a new loop goes on behind it.
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

  /** Closes. Can be called twice, always finishes. */
  close(): Promise<void> {
    const closed = this.#connection.close();
    this.#end(undefined);
    return closed;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #next(): Promise<IteratorResult<PublishedMessage<T>>> {
    if (this.#waiting > 0) return this.#take();
    const trouble = this.#connection.trouble;
    if (trouble === undefined) return new Promise((resolve) => this.#waiters.push({ resolve }));
    if (this.#connection.isClosedWell) return Promise.resolve({ value: undefined, done: true });
    return Promise.reject(trouble);
  }

  /** The oldest message that waits; there is one. */
  #take(): Promise<IteratorResult<PublishedMessage<T>>> {
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

  /** Steps over the oldest message that waits. Throws DATA_LOSS, and drops the rest of a malformed frame. */
  #step(): BatchReader {
    const frame = this.#frames.first()!;
    frame.left -= 1;
    this.#waiting -= 1;
    let fine = false;
    try {
      fine = frame.reader.next();
      if (!fine) throw new TinyMQError("DATA_LOSS", "a frame has fewer messages than it says");
    } finally {
      if (!fine) this.#waiting -= frame.left;
      if (!fine || frame.left === 0) {
        this.#frames.shift();
        this.#bytes -= frame.bytes;
      }
    }
    return frame.reader;
  }

  #published(messages: Uint8Array, count: number): void {
    if (count === 0) return;
    this.#frames.push({ reader: new BatchReader(messages), bytes: messages.length, left: count });
    this.#waiting += count;
    this.#bytes += messages.length;
    while (this.#waiters.length > 0 && this.#waiting > 0) this.#waiters.shift()!.resolve(this.#take());
    while (this.#waiting > this.#buffer || this.#bytes > BUFFER_BYTES) {
      this.#step();
      this.#missed.missed += 1;
    }
  }

  #end(error: TinyMQError | undefined): void {
    for (const waiter of this.#waiters.drain()) {
      waiter.resolve(error === undefined ? { value: undefined, done: true } : Promise.reject(error));
    }
  }

  #owner(): ConnectionOwner<SubscribeRequest, SubscribeResponse> {
    return {
      heartbeat: { kind: { oneofKind: "heartbeat", heartbeat: {} } },
      call: (client, options) => client.subscribe(options),
      openFrame: () => {
        const { topic, token } = this.#settings;
        return { kind: { oneofKind: "open", open: { topic, token } } };
      },
      opened: (response) => this.#opened(response),
      receive: (response) => this.#receive(response),
      leaving: () => {},
      interrupted: () => {},
      ended: (error) => this.#end(deadConnection(error)),
    };
  }

  #opened({ kind }: SubscribeResponse) {
    if (kind.oneofKind !== "opened") throw unexpectedAnswer(kind.oneofKind);
    this.#missed.opened(kind.opened.epoch, kind.opened.published);
    const { heartbeatMs = 0, deadAfterMs = 0 } = kind.opened.limits ?? {};
    return { times: { heartbeatMs, deadAfterMs }, state: "open" as const };
  }

  #receive({ kind }: SubscribeResponse): void {
    switch (kind.oneofKind) {
      case "published": {
        const { epoch, published, count, messages } = kind.published;
        this.#missed.seen(epoch, published, count);
        return this.#published(messages, count);
      }
      case "count":
        return this.#missed.seen(kind.count.epoch, kind.count.published, 0);
      default:
        throw unexpectedAnswer(kind.oneofKind);
    }
  }
}
