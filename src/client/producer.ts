/** The producer: sends messages to one topic. */
import type { Headers } from "../wire/encode.ts";
import { MiB } from "../wire/limits.ts";
import { parseDuration, parseSize } from "../wire/units.ts";
import type { Batch, Group } from "./batch.ts";
import { deadConnection } from "./close-error.ts";
import { type Encoder, text } from "./codecs.ts";
import type { Connection } from "./connection.ts";
import {
  type ConnectionSettings,
  type ConnectionState,
  connectionSettings,
  deliveryOf,
  milliseconds,
  type OutgoingMessage,
  type ProducerOptions,
  type SendOptions,
} from "./options.ts";
import { Outbox } from "./outbox.ts";

const DEFAULT_MAX_UNACKNOWLEDGED = 64 * MiB;
const DEFAULT_CLOSE_TIMEOUT_MS = 5_000;

/**
 * Sends messages to one topic of one server. `initConn()` first, `close()` last. The order of sends is the
 * order of the topic.
 */
export class Producer<T = string> {
  readonly #settings: ConnectionSettings;
  readonly #codec: Encoder<T>;
  readonly #closeTimeoutMs: number;
  readonly #outbox: Outbox;
  readonly #connection: Connection;
  #nextId = 0;
  #closing: Promise<void> | undefined;

  /**
   * Throws INVALID_ARGUMENT, or `InvalidTopic` for a topic's name that is empty, too long or has control
   * characters.
   */
  constructor(host: string, port: number, topic: string, options: ProducerOptions<T> = {}) {
    this.#settings = connectionSettings(host, port, topic, options);
    // Without a codec, T is string: the default of the type parameter.
    this.#codec = options.codec ?? (text as unknown as Encoder<T>);
    this.#closeTimeoutMs = parseDuration(options.closeTimeout ?? DEFAULT_CLOSE_TIMEOUT_MS, "closeTimeout");
    this.#outbox = new Outbox(
      this.#settings,
      deliveryOf(options.delivery),
      milliseconds(options.unique, "unique"),
      parseSize(options.maxUnacknowledged ?? DEFAULT_MAX_UNACKNOWLEDGED, "maxUnacknowledged"),
    );
    this.#connection = this.#outbox.connection;
  }

  /** The state of the connection. */
  get state(): ConnectionState {
    return this.#connection.state;
  }

  /** Bytes of messages that were passed to `send()` and are not acknowledged yet. */
  get unacknowledgedBytes(): number {
    return this.#outbox.held;
  }

  /**
   * Connects. Throws `ConnectionRefusedError`, `Unauthenticated`, `InvalidTopic` or `InitFailed`, and may
   * then be called again. Even with `reconnect` it fails at the first refusal, unless `reconnect.initial`
   * is set.
   */
  initConn(): Promise<void> {
    return this.#connection.init();
  }

  /**
   * Sends one message; resolves when the server stored it. Sends of one tick travel together. Without an `id`
   * the message gets the next of this producer's own numbers, which count from 0. Rejects with
   * INVALID_ARGUMENT, `MessageTooLarge`, `SendBufferFull`, `QueueFull`, `DeadConnectionUsed`, `WrongAck`,
   * `OutcomeUnknown`, or another `TinyMQError`.
   */
  send(message: T, id?: number, options?: SendOptions): Promise<void> {
    try {
      this.#check();
      return this.#add(message, id, options?.headers, options, undefined).sent();
    } catch (thrown) {
      return Promise.reject(thrown);
    }
  }

  /**
   * Sends many messages; resolves when all are stored. Waits for room where `send()` would fail with
   * `SendBufferFull`. Rejects as `send()` does, with the first error; messages before and after the failed
   * one may be stored. `options.headers` are for messages that have none of their own.
   */
  async sendBatch(messages: Iterable<OutgoingMessage<T>>, options?: SendOptions): Promise<void> {
    const group: Group = { failure: undefined };
    const batches = new Set<Batch>();
    for (const { body, id, headers } of messages) {
      while (this.#outbox.held * 2 >= this.#outbox.maxHeld && this.#connection.trouble === undefined) {
        await this.#outbox.nextSettled();
      }
      if (group.failure !== undefined) break;
      this.#check();
      batches.add(this.#add(body, id, headers ?? options?.headers, options, group));
    }
    for (const batch of batches) {
      if (group.failure !== undefined) throw group.failure;
      await batch.settled;
    }
    if (group.failure !== undefined) throw group.failure;
  }

  /**
   * Waits for acknowledgements, for `closeTimeout` at most, and closes. Sends that are still unacknowledged
   * then reject with `DeadConnectionUsed`. Can be called twice.
   */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(): Promise<void> {
    let late = false;
    let cancelTimer = () => {};
    const limit = new Promise<void>((resolve) => {
      cancelTimer = this.#settings.clock.after(this.#closeTimeoutMs, () => {
        late = true;
        resolve();
      });
    });
    while (this.#outbox.held > 0 && !late) await Promise.race([this.#outbox.nextSettled(), limit]);
    cancelTimer();
    const closed = this.#connection.close();
    this.#outbox.fail(deadConnection(undefined));
    await closed;
  }

  #check(): void {
    const trouble = this.#connection.trouble;
    if (trouble !== undefined) throw trouble;
    if (this.#closing !== undefined) throw deadConnection(undefined);
  }

  #add(
    message: T,
    id: number | undefined,
    headers: Headers | undefined,
    options: SendOptions | undefined,
    group: Group | undefined,
  ): Batch {
    const delayMs = options === undefined ? 0 : milliseconds(options.delay, "delay");
    const ttlMs = options === undefined ? 0 : milliseconds(options.ttl, "ttl");
    const body = this.#codec.encode(message);
    const batch = this.#outbox.add(id ?? this.#nextId, body, headers, delayMs, ttlMs, group);
    if (id === undefined) this.#nextId += 1;
    return batch;
  }
}
