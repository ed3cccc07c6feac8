/** The consumer: takes messages from one topic. */
import { TinyMQError } from "../errors.ts";
import { ConsumeMode } from "../gen/tinymq/v1/queue.ts";
import type { Clock } from "../wire/clock.ts";
import { deadConnection } from "./close-error.ts";
import { type Decoder, text } from "./codecs.ts";
import type { Connection } from "./connection.ts";
import { ConsumerLoop } from "./consumer-loop.ts";
import { ConsumedMessage } from "./message.ts";
import {
  type ConnectionState,
  type ConsumerOptions,
  connectionSettings,
  countFrom1,
  milliseconds,
  modeOf,
  type PollOptions,
} from "./options.ts";
import type { Positions } from "./positions.ts";
import { Receiver } from "./receiver.ts";

/** Enough to hide the way to the server and back behind the work on half of them. */
const DEFAULT_PREFETCH = 2_048;
/** Competing consumers share a backlog evenly only if none holds much of it. */
const DEFAULT_SHARED_PREFETCH = 64;

/** Takes messages from one topic of one server. `initConn()` first, `close()` last. */
export class Consumer<T = string> {
  readonly #codec: Decoder<T>;
  readonly #autoAck: boolean;
  readonly #clock: Clock;
  readonly #receiver: Receiver;
  readonly #connection: Connection;
  /** What polls returned since the last poll, and of which stream. */
  #polled: number[] = [];
  #polledOf: Positions | undefined;

  /**
   * Throws INVALID_ARGUMENT, or `InvalidTopic` for a topic's name that is empty, too long or has control
   * characters.
   */
  constructor(host: string, port: number, topic: string, options: ConsumerOptions<T> = {}) {
    const settings = connectionSettings(host, port, topic, options);
    // Without a codec, T is string: the default of the type parameter.
    this.#codec = options.codec ?? (text as unknown as Decoder<T>);
    this.#autoAck = options.autoAck ?? true;
    this.#clock = settings.clock;
    const mode = modeOf(options.mode);
    const prefetch = mode === ConsumeMode.SHARED ? DEFAULT_SHARED_PREFETCH : DEFAULT_PREFETCH;
    this.#receiver = new Receiver(settings, mode, countFrom1(options.prefetch ?? prefetch, "prefetch"));
    this.#connection = this.#receiver.connection;
  }

  /** The state of the connection; `standby` while it waits in line for the topic's lock. */
  get state(): ConnectionState {
    return this.#connection.state;
  }

  /**
   * Connects; a standby is connected once it stands in line. Throws `ConnectionRefusedError`,
   * `Unauthenticated`, `InvalidTopic`, or `InitFailed`, for example because another consumer holds the topic.
   */
  initConn(): Promise<void> {
    return this.#connection.init();
  }

  /**
   * The next message as `[id, body]`, or null if there is none. Acknowledges what polls returned before.
   * A standby without `wait` waits for the lock. Polls at once are answered in their order. Rejects with
   * `DeadConnectionUsed`, CANCELLED, or DATA_LOSS for a body that the codec refuses; that message goes to
   * the dead-letter topic.
   */
  poll(options?: PollOptions): Promise<null | [id: number, body: T]> {
    const receiver = this.#receiver;
    try {
      const { trouble } = this.#connection;
      if (trouble !== undefined) throw trouble;
      if (this.#polled.length > 0) this.#ackPolled();
      if (receiver.take()) return Promise.resolve(this.#takePolled());
      const wait = options?.wait;
      const deadline = wait === undefined ? undefined : this.#clock.now() + milliseconds(wait, "wait");
      return new Promise((resolve, reject) => {
        receiver.demand.wait({
          take: () => resolve(this.#takePolled()),
          empty: () => resolve(null),
          fail: reject,
          deadline,
          pullId: 0,
        });
      });
    } catch (thrown) {
      return Promise.reject(thrown);
    }
  }

  /** Acknowledges every message that polls and loops have returned. Throws `DeadConnectionUsed`. */
  ack(): void {
    const { trouble } = this.#connection;
    if (trouble !== undefined) throw trouble;
    this.#polled = [];
    this.#receiver.doneAll();
  }

  /**
   * Loops over the messages, without end. The next step of the loop acknowledges the message before; leaving
   * the loop does not. Loops that run at once share the messages. Ends when the consumer is closed; throws
   * what `poll()` rejects with.
   */
  [Symbol.asyncIterator](): AsyncIterableIterator<ConsumedMessage<T>> {
    return new ConsumerLoop<T>(this.#receiver, this.#autoAck, () => {
      return new ConsumedMessage(this.#receiver, this.#decode());
    });
  }

  /**
   * Sends the acknowledgements made so far, and closes. Messages that are not acknowledged return to the
   * topic. Can be called twice.
   */
  close(): Promise<void> {
    const closed = this.#connection.close();
    this.#receiver.fail(deadConnection(undefined));
    return closed;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #ackPolled(): void {
    const positions = this.#polledOf!;
    if (this.#autoAck) for (const position of this.#polled) this.#receiver.done(positions, position);
    this.#polled.length = 0;
  }

  /** The message that the inbox stands on, for a poll. */
  #takePolled(): [id: number, body: T] {
    const { inbox, positions } = this.#receiver;
    if (this.#polledOf !== positions) {
      this.#polled.length = 0;
      this.#polledOf = positions;
    }
    const body = this.#decode();
    this.#polled.push(inbox.position);
    return [inbox.reader.id, body];
  }

  #decode(): T {
    const { inbox, positions } = this.#receiver;
    try {
      return this.#codec.decode(inbox.reader);
    } catch (thrown) {
      const why = `its body cannot be decoded: ${thrown instanceof Error ? thrown.message : String(thrown)}`;
      this.#receiver.reject(positions, inbox.position, why);
      throw new TinyMQError("DATA_LOSS", `message ${inbox.reader.id} goes to the dead-letter topic: ${why}`, {
        cause: thrown,
      });
    }
  }
}
