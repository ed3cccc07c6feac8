/** The producer: sends messages to one topic. */

import { didYouMean } from "../did-you-mean.ts";
import { TinyMQError } from "../errors.ts";
import type { Headers } from "../wire/encode.ts";
import { MiB } from "../wire/limits.ts";
import { parseDuration } from "../wire/units.ts";
import type { Batch, Group } from "./batch.ts";
import { describe, invalid } from "./check.ts";
import { deadConnection } from "./close-error.ts";
import { type Encoder, text } from "./codecs.ts";
import type { Connection } from "./connection.ts";
import type { ConnectionState, OutgoingMessage, ProducerOptions, SendOptions } from "./options.ts";
import { Outbox } from "./outbox.ts";
import {
  type ConnectionSettings,
  checkSendOptions,
  connectionSettings,
  deliveryOf,
  milliseconds,
  millisecondsFrom1,
  sizeFrom1,
} from "./settings.ts";

const DEFAULT_MAX_UNACKNOWLEDGED = 64 * MiB;
const DEFAULT_CLOSE_TIMEOUT_MS = 5_000;

/**
 * Sends messages to one topic of one server. `initConn()` first, `close()` last. The order of sends is the order of
 * the topic. `T` is what the codec takes.
 *
 * @example
 * const producer = new Producer("localhost", 9800, "orders");
 * await producer.initConn();
 * await producer.send("tea", 1);
 * await producer.close();
 */
export class Producer<T = string> {
  readonly #settings: ConnectionSettings;
  readonly #codec: Encoder<T>;
  readonly #closeTimeoutMs: number;
  /** With `unique`: numbers of its own would begin anew with each producer, and what they name be dropped. */
  readonly #needsIds: boolean;
  readonly #outbox: Outbox;
  readonly #connection: Connection;
  #nextId = 0;
  #closing: Promise<void> | undefined;

  /** Does not connect. Throws INVALID_ARGUMENT, and `InvalidTopic` for a name that no topic can have. */
  constructor(host: string, port: number, topic: string, options: ProducerOptions<T> = {}) {
    this.#settings = connectionSettings("producer", host, port, topic, options);
    // Without a codec, T is string: the default of the type parameter.
    this.#codec = options.codec ?? (text as unknown as Encoder<T>);
    this.#closeTimeoutMs = parseDuration(options.closeTimeout ?? DEFAULT_CLOSE_TIMEOUT_MS, "closeTimeout");
    const uniqueMs = millisecondsFrom1(options.unique, "unique");
    this.#needsIds = uniqueMs > 0;
    if (uniqueMs > 0 && options.delivery === "broadcast") {
      throw invalid("`unique` needs delivery queue: a broadcast message is not stored");
    }
    this.#outbox = new Outbox(
      this.#settings,
      deliveryOf(options.delivery),
      uniqueMs,
      sizeFrom1(options.maxUnacknowledged ?? DEFAULT_MAX_UNACKNOWLEDGED, "maxUnacknowledged"),
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
   * Sends one message; resolves when the server has stored it (or, with `delivery: "broadcast"`, has handed it to the
   * subscribers). Sends of one tick travel together. Without an `id` the message gets the next of this producer's own
   * numbers, which count from 0. Rejects with INVALID_ARGUMENT, `MessageTooLarge`, `SendBufferFull`, `QueueFull`,
   * `DeadConnectionUsed`, `WrongAck`, `OutcomeUnknown`, or another `TinyMQError`; never throws.
   */
  send(message: T, id?: number, options?: SendOptions): Promise<void> {
    try {
      this.#check();
      if (options !== undefined) checkSendOptions(options);
      return this.#add(message, id, options?.headers, options, undefined).sent();
    } catch (thrown) {
      return Promise.reject(thrown);
    }
  }

  /**
   * Sends many messages; resolves when all are stored. Takes them from `messages` as there is room, and waits where
   * `send()` would fail with `SendBufferFull`. Rejects as `send()` does, with the first error, such as `QueueFull`;
   * messages before and after the failed one may be stored, and which ones is not known. `options` are for all;
   * headers for those that have none of their own.
   */
  async sendBatch(messages: Iterable<OutgoingMessage<T>>, options?: SendOptions): Promise<void> {
    const group: Group = { failure: undefined };
    const batches = new Set<Batch>();
    checkSendOptions(options);
    checkMessages(messages);
    for (const message of messages) {
      const { body, id, headers } = checkMessage(message);
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
    this.#outbox.fail(this.#connection.trouble ?? deadConnection(undefined));
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
    const ttlMs = options === undefined ? 0 : millisecondsFrom1(options.ttl, "ttl");
    if (typeof id === "object") {
      throw invalid(
        `the id must be an integer, not ${describe(id)}: options are the third argument of send()`,
      );
    }
    if (id === undefined && this.#needsIds) throw invalid("with `unique` every message needs an id");
    const body = this.#encode(message);
    const batch = this.#outbox.add(id ?? this.#nextId, body, headers, delayMs, ttlMs, group);
    if (id === undefined) this.#nextId += 1;
    return batch;
  }
  #encode(message: T): string | Uint8Array {
    try {
      return this.#codec.encode(message);
    } catch (thrown) {
      if (thrown instanceof TinyMQError) throw thrown;
      throw invalid(`the codec cannot encode the body: ${(thrown as Error | undefined)?.message}`, thrown);
    }
  }
}

const MESSAGE_KEYS = ["body", "id", "headers"];

/** Throws INVALID_ARGUMENT unless it can be looped over. */
function checkMessages(messages: unknown): void {
  if (typeof messages === "object" && messages !== null && Symbol.iterator in messages) return;
  throw invalid(
    `sendBatch() takes an array or other iterable of { body, id, headers }, not ${describe(messages)}`,
  );
}

/** One message of `sendBatch`. Throws INVALID_ARGUMENT unless it has a body, and nothing unknown instead. */
function checkMessage<T>(message: OutgoingMessage<T>): OutgoingMessage<T> {
  if (typeof message !== "object" || message === null) {
    throw invalid(`a message of sendBatch() is { body, id, headers }, not ${describe(message)}`);
  }
  for (const key in message) {
    if (key !== "body" && key !== "id" && key !== "headers") {
      const hint = didYouMean(key, MESSAGE_KEYS) || "; delay and ttl are options of sendBatch()";
      throw invalid(`a message of sendBatch() has no ${JSON.stringify(key)}${hint}`);
    }
  }
  if (!("body" in message)) throw invalid("a message of sendBatch() has no body");
  return message;
}
