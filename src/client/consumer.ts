/** The consumer: takes messages from one topic. */
import { DeadConnectionUsed, OutcomeUnknown, TinyMQError } from "../errors.ts";
import { ConsumeMode } from "../gen/tinymq/v1/queue.ts";
import type { Clock } from "../wire/clock.ts";
import { MiB } from "../wire/limits.ts";
import { deadConnection, undecodable } from "./close-error.ts";
import { type Decoder, text } from "./codecs.ts";
import type { Connection } from "./connection.ts";
import { ConsumerLoop, type LoopOwner } from "./consumer-loop.ts";
import { ConsumedMessage, NO_HEADERS } from "./message.ts";
import type { ConnectionState, ConsumerOptions, PollOptions, StopOptions } from "./options.ts";
import type { Positions } from "./positions.ts";
import { Receiver } from "./receiver.ts";
import {
  checkPollOptions,
  checkStopOptions,
  connectionSettings,
  countFrom1,
  milliseconds,
  modeOf,
  sizeFrom1,
} from "./settings.ts";
import { TimeLimit } from "./time-limit.ts";
import { Waiter } from "./waiters.ts";

/** Enough to hide the way to the server and back behind the work on half of them. */
const DEFAULT_PREFETCH = 2_048;
const DEFAULT_PREFETCH_BYTES = 16 * MiB;
const DEFAULT_STOP_TIMEOUT_MS = 30_000;

/**
 * Takes messages from one topic of one server. `initConn()` first, `stop()` or `close()` last. `T` is what the codec
 * gives.
 *
 * @example
 * const consumer = new Consumer("localhost", 9800, "orders");
 * await consumer.initConn();
 * process.once("SIGTERM", () => consumer.stop());
 * for await (const message of consumer) console.log(message.id, message.body);
 * await consumer.stop();
 */
export class Consumer<T = string> {
  readonly #codec: Decoder<T>;
  readonly #onInvalid: ConsumerOptions<T>["onInvalid"];
  readonly #autoAck: boolean;
  readonly #clock: Clock;
  readonly #receiver: Receiver;
  readonly #connection: Connection;
  readonly #loopOwner: LoopOwner<T>;
  /** Of the message that the inbox stands on. */
  #body!: T;
  /** What polls returned since the last poll, and of which stream. */
  #polled: number[] = [];
  #polledOf: Positions | undefined;
  #stopping: Promise<void> | undefined;

  /** Does not connect. Throws INVALID_ARGUMENT, and `InvalidTopic` for a name that no topic can have. */
  constructor(host: string, port: number, topic: string, options: ConsumerOptions<T> = {}) {
    const settings = connectionSettings("consumer", host, port, topic, options);
    // Without a codec, T is string: the default of the type parameter.
    this.#codec = options.codec ?? (text as unknown as Decoder<T>);
    this.#onInvalid = options.onInvalid;
    this.#autoAck = options.autoAck ?? true;
    this.#clock = settings.clock;
    const mode = modeOf(options.mode);
    const prefetch = {
      messages: countFrom1(options.prefetch ?? DEFAULT_PREFETCH, "prefetch"),
      bytes: sizeFrom1(options.prefetchBytes ?? DEFAULT_PREFETCH_BYTES, "prefetchBytes"),
      adaptive: mode === ConsumeMode.SHARED && options.prefetch === undefined,
    };
    this.#receiver = new Receiver(settings, mode, prefetch, () => this.#decode());
    this.#connection = this.#receiver.connection;
    this.#loopOwner = {
      receiver: this.#receiver,
      autoAck: this.#autoAck,
      loops: new Set(),
      stopping: false,
      message: () => new ConsumedMessage(this.#receiver, this.#body),
    };
  }

  /** The state of the connection; `standby` while it waits in line for the topic's lock. */
  get state(): ConnectionState {
    return this.#connection.state;
  }

  /**
   * Connects; a standby is connected once it stands in line. Throws `ConnectionRefusedError`, `Unauthenticated`,
   * `InvalidTopic`, or `InitFailed`, for example because another consumer holds the topic; may then be called again.
   * Even with `reconnect` it fails at the first refusal, unless `reconnect.initial` is set; then `stop()` ends it.
   */
  initConn(): Promise<void> {
    return this.#connection.init();
  }

  /**
   * The next message as `[id, body]`, or null if there is none, or if this consumer holds `prefetch` unsettled ones.
   * Acknowledges what polls returned before, unless `autoAck` is false. With `wait` it resolves with null when that
   * time is over, whatever the connection does. Without, it rejects with DEADLINE_EXCEEDED if the server does not
   * answer for 5 s; in line for the lock it waits. Several polls at once are answered in their order. Rejects with
   * INVALID_ARGUMENT, `DeadConnectionUsed`, CANCELLED, or DATA_LOSS for a delivery that cannot be read.
   */
  poll(options?: PollOptions): Promise<null | [id: number, body: T]> {
    const receiver = this.#receiver;
    try {
      const { trouble } = this.#connection;
      if (trouble !== undefined) throw trouble;
      if (options !== undefined) checkPollOptions(options);
      if (this.#polled.length > 0) this.#ackPolled();
      if (this.#stopping !== undefined) throw new DeadConnectionUsed("the consumer is stopping");
      if (receiver.take()) return Promise.resolve(this.#takePolled());
      const waitMs = milliseconds(options?.wait, "wait");
      const now = this.#clock.now();
      return new Promise((resolve, reject) => {
        const take = () => resolve(this.#takePolled());
        const empty = () => resolve(null);
        receiver.demand.wait(new Waiter(now, waitMs === 0 ? undefined : now + waitMs, take, empty, reject));
      });
    } catch (thrown) {
      return Promise.reject(thrown);
    }
  }

  /** Acknowledges every message that polls and loops have returned. Sent within 50 ms. Throws `DeadConnectionUsed`. */
  ack(): void {
    const { trouble } = this.#connection;
    if (trouble !== undefined) throw trouble;
    this.#polled = [];
    this.#receiver.doneAll();
  }

  /**
   * Sends what is acknowledged; resolves when the server has settled it, or has received it before `close()`. Rejects
   * with `OutcomeUnknown` if a connection was lost before the server said so: those messages may be delivered again.
   * Each loss is reported once.
   */
  flush(): Promise<void> {
    return this.#receiver.flush();
  }

  /**
   * Loops over the messages, without end. The next step of the loop acknowledges the message before (not with
   * `autoAck: false`); leaving the loop does not. A loop is for one worker; loops that run at once share the messages.
   * Ends when the consumer is stopped or closed; throws `DeadConnectionUsed` or CANCELLED.
   */
  [Symbol.asyncIterator](): AsyncIterableIterator<ConsumedMessage<T>> {
    return new ConsumerLoop<T>(this.#loopOwner);
  }

  /**
   * Ends loops: those that wait at once, the others when they come back with the message in hand; what a poll returned
   * is not waited for, so `ack()` it first. With `autoAck: false` it waits until all that was handed out is settled.
   * Then waits until the server has settled what was acknowledged, and closes. Rejects, closed all the same: with
   * DEADLINE_EXCEEDED if messages are in hand after `timeout`, with `OutcomeUnknown` if a connection was lost
   * meanwhile, or `timeout` is over, before the server confirmed. Only calls that are awaited throw, so that a signal's
   * handler may drop the promise. Within a loop, leave it or do not await this. Can be called twice.
   */
  stop(options?: StopOptions): Promise<void> {
    try {
      checkStopOptions(options);
      const timeoutMs = milliseconds(options?.timeout ?? DEFAULT_STOP_TIMEOUT_MS, "timeout");
      this.#stopping ??= this.#stop(timeoutMs);
      // A signal's handler drops this promise; whoever awaits a call of `stop()` gets the error.
      this.#stopping.catch(() => {});
      return this.#stopping;
    } catch (thrown) {
      return Promise.reject(thrown);
    }
  }

  /**
   * Sends the acknowledgements made so far, and closes; resolves when the server has taken them, or after 2 s.
   * Messages that are not acknowledged return to the topic. Can be called twice.
   */
  close(): Promise<void> {
    const closed = this.#connection.close();
    this.#receiver.leave(closed);
    this.#receiver.fail(this.#connection.trouble ?? deadConnection(undefined));
    return closed;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #stop(timeoutMs: number): Promise<void> {
    const receiver = this.#receiver;
    if (this.#connection.trouble !== undefined) return this.close();
    // Messages whose acknowledgements were lost before have come again, or will to others.
    if (this.#connection.isOpen) receiver.forgetLosses();
    this.#loopOwner.stopping = true;
    receiver.demand.stop();
    const limit = new TimeLimit(this.#clock, timeoutMs);
    try {
      // The last is set before the first step below runs.
      await limit.race(
        new Promise<void>((resolve) => {
          receiver.onProgress = () => {
            if (!this.#isWorking()) resolve();
          };
          receiver.onProgress();
        }),
        () => new TinyMQError("DEADLINE_EXCEEDED", this.#lateness(timeoutMs)),
      );
      await limit.race(
        receiver.flush(),
        () => new OutcomeUnknown(`the server did not confirm within ${timeoutMs} ms what was acknowledged`),
      );
    } finally {
      limit.end();
      receiver.onProgress = undefined;
      await this.close();
    }
  }

  /** Whether the program works on a message that it may still acknowledge. */
  #isWorking(): boolean {
    for (const loop of this.#loopOwner.loops) if (loop.isWorking) return true;
    const { positions } = this.#receiver;
    return !this.#autoAck && positions.hasUnsettled(0, positions.handed);
  }

  #lateness(timeoutMs: number): string {
    return (
      `messages were in hand ${timeoutMs} ms after stop(), and return to the topic: settle them, or give a longer ` +
      "timeout; within a loop, leave the loop or do not await stop()"
    );
  }

  #ackPolled(): void {
    const positions = this.#polledOf!;
    if (this.#autoAck)
      for (const position of this.#polled) this.#receiver.doneBeforeTake(positions, position);
    this.#polled.length = 0;
  }

  /** The message that the inbox stands on, for a poll. */
  #takePolled(): [id: number, body: T] {
    const { inbox, positions } = this.#receiver;
    if (this.#polledOf !== positions) {
      this.#polled.length = 0;
      this.#polledOf = positions;
    }
    this.#polled.push(inbox.position);
    return [inbox.reader.id, this.#body];
  }

  /** Takes the body that the inbox stands on, or says why not, to the program and to whoever rejects it. */
  #decode(): string | undefined {
    const { reader } = this.#receiver.inbox;
    try {
      this.#body = this.#codec.decode(reader);
      return undefined;
    } catch (thrown) {
      const onInvalid = this.#onInvalid;
      const error = undecodable(reader.id, thrown);
      if (onInvalid !== undefined) {
        const message = { id: reader.id, headers: reader.headers() ?? NO_HEADERS };
        // In a microtask, so that what it throws is the program's uncaught error and changes nothing here.
        queueMicrotask(() => onInvalid(error, message));
      }
      return error.message;
    }
  }
}
