/** The consumer: takes messages from one topic. */
import { TinyMQError } from "../errors.ts";
import { ConsumeMode, type ConsumeRequest, type ConsumeResponse } from "../gen/tinymq/v1/queue.ts";
import { deadConnection, unexpectedAnswer } from "./close-error.ts";
import { type Decoder, text } from "./codecs.ts";
import { Connection, type ConnectionOwner } from "./connection.ts";
import {
  type ConnectionSettings,
  type ConnectionState,
  connectionSettings,
  milliseconds,
  randomId,
} from "./connection-options.ts";
import { ConsumerLoop } from "./consumer-loop.ts";
import { type ConsumerOptions, modeOf, type PollOptions, prefetchOf } from "./consumer-options.ts";
import { ConsumedMessage } from "./message.ts";
import type { Lease } from "./positions.ts";
import { Intake } from "./receiver.ts";
import type { Waiter } from "./waiters.ts";

/** Takes messages from one topic of one server. `initConn()` first, `close()` last. */
export class Consumer<T = string> {
  readonly #settings: ConnectionSettings;
  readonly #codec: Decoder<T>;
  readonly #mode: ConsumeMode;
  readonly #autoAck: boolean;
  readonly #consumerId = randomId();
  readonly #connection: Connection<ConsumeRequest, ConsumeResponse>;
  readonly #intake: Intake;
  /** What polls returned since the last poll, and of which stream. */
  #polled: number[] = [];
  #polledOf: Lease | undefined;

  /** Throws INVALID_ARGUMENT or `InvalidTopic` for what cannot be. */
  constructor(host: string, port: number, topic: string, options: ConsumerOptions<T> = {}) {
    this.#settings = connectionSettings(host, port, topic, options);
    // Without a codec, T is string: the default of the type parameter.
    this.#codec = options.codec ?? (text as unknown as Decoder<T>);
    this.#mode = modeOf(options.mode ?? "exclusive");
    this.#autoAck = options.autoAck ?? true;
    this.#connection = new Connection(this.#settings, this.#owner());
    const shared = this.#mode === ConsumeMode.SHARED;
    this.#intake = new Intake(
      this.#connection,
      this.#settings.clock,
      prefetchOf(options.prefetch, shared),
      shared,
    );
  }

  /** How the connection is; `standby` in line for the lock. */
  get state(): ConnectionState {
    return this.#connection.state;
  }

  /**
   * Connects; of a standby, resolves once it stands in line. Throws `ConnectionRefusedError`,
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
    try {
      const trouble = this.#connection.trouble;
      if (trouble !== undefined) throw trouble;
      if (this.#polled.length > 0) this.#ackPolled();
      if (this.#intake.take()) return Promise.resolve(this.#takePolled());
      const wait = options?.wait;
      const deadline =
        wait === undefined ? undefined : this.#settings.clock.now() + milliseconds(wait, "wait");
      return new Promise((resolve, reject) => {
        const waiter: Waiter = {
          take: () => attempt(() => resolve(this.#takePolled()), reject),
          empty: () => resolve(null),
          fail: reject,
          deadline,
          pullId: 0,
        };
        this.#intake.wait(waiter);
      });
    } catch (thrown) {
      return Promise.reject(thrown);
    }
  }

  /** Acknowledges all messages that were handed out. Throws `DeadConnectionUsed`. */
  ack(): void {
    const trouble = this.#connection.trouble;
    if (trouble !== undefined) throw trouble;
    this.#polled = [];
    this.#intake.doneAll();
  }

  /**
   * The messages, without end. Coming back for the next one acknowledges the last; leaving the loop does
   * not. Several loops at once share the messages. Ends when the consumer is closed; throws what `poll()`
   * rejects with.
   */
  [Symbol.asyncIterator](): AsyncIterableIterator<ConsumedMessage<T>> {
    return new ConsumerLoop<T>({
      intake: this.#intake,
      autoAck: this.#autoAck,
      trouble: () => this.#connection.trouble,
      isClosed: () => this.#connection.isClosedWell,
      take: () => this.#takeMessage(),
    });
  }

  /** Tells what is acknowledged, adds nothing to it, and closes. Can be called twice, always finishes. */
  close(): Promise<void> {
    const closed = this.#connection.close();
    this.#intake.fail(deadConnection(undefined));
    return closed;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #ackPolled(): void {
    const lease = this.#polledOf!;
    if (this.#autoAck) for (const position of this.#polled) this.#intake.done(lease, position);
    this.#polled.length = 0;
  }

  /** Of the message that the inbox stands on. */
  #takePolled(): [id: number, body: T] {
    const { inbox, lease } = this.#intake;
    if (this.#polledOf !== lease) {
      this.#polled.length = 0;
      this.#polledOf = lease;
    }
    const body = this.#decode();
    this.#polled.push(inbox.position);
    return [inbox.reader.id, body];
  }

  #takeMessage(): ConsumedMessage<T> {
    return new ConsumedMessage(this.#intake, this.#decode());
  }

  #decode(): T {
    const { reader, position } = this.#intake.inbox;
    try {
      return this.#codec.decode(reader);
    } catch (thrown) {
      const why = `its body cannot be decoded: ${thrown instanceof Error ? thrown.message : String(thrown)}`;
      this.#intake.reject(this.#intake.lease, position, why);
      throw new TinyMQError("DATA_LOSS", `message ${reader.id} goes to the dead-letter topic: ${why}`, {
        cause: thrown,
      });
    }
  }

  #owner(): ConnectionOwner<ConsumeRequest, ConsumeResponse> {
    return {
      heartbeat: { kind: { oneofKind: "heartbeat", heartbeat: {} } },
      call: (client, options) => client.consume(options),
      openFrame: () => {
        const { topic, token } = this.#settings;
        const open = { topic, token, mode: this.#mode, consumerId: this.#consumerId };
        return { kind: { oneofKind: "open", open } };
      },
      opened: (response) => this.#opened(response),
      receive: (response) => this.#receive(response),
      leaving: () => this.#intake.flush(),
      interrupted: () => this.#intake.reset(),
      ended: (error) => this.#intake.fail(deadConnection(error)),
    };
  }

  #opened(response: ConsumeResponse) {
    if (response.kind.oneofKind !== "opened") throw unexpectedAnswer(response.kind.oneofKind);
    const { limits, holder } = response.kind.opened;
    // Not before the state says whether it holds the lock.
    queueMicrotask(() => this.#intake.resume(limits?.maxInFlight ?? 0));
    const { heartbeatMs = 0, deadAfterMs = 0 } = limits ?? {};
    return { times: { heartbeatMs, deadAfterMs }, state: holder ? ("open" as const) : ("standby" as const) };
  }

  #receive({ kind }: ConsumeResponse): void {
    switch (kind.oneofKind) {
      case "delivered":
        return this.#intake.delivered(kind.delivered);
      case "empty":
        return this.#intake.empty(kind.empty.pullId);
      case "rewound":
        return this.#intake.rewound();
      case "promoted":
        this.#connection.promoted();
        return this.#intake.ask();
      case "heartbeat":
        return;
      default:
        throw unexpectedAnswer(kind.oneofKind);
    }
  }
}

function attempt(act: () => void, failed: (error: unknown) => void): void {
  try {
    act();
  } catch (thrown) {
    failed(thrown);
  }
}
