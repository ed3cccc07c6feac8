/** The producer: sends messages to one topic. */
import { WrongAck } from "../errors.ts";
import type { Delivery, ProduceRequest, ProduceResponse } from "../gen/tinymq/v1/queue.ts";
import type { Headers } from "../wire/encode.ts";
import { readAcked } from "../wire/frames.ts";
import { parseDuration, parseSize } from "../wire/units.ts";
import { deadConnection, unexpectedAnswer } from "./close-error.ts";
import { type Encoder, text } from "./codecs.ts";
import { Connection, type ConnectionOwner } from "./connection.ts";
import {
  type ConnectionSettings,
  type ConnectionState,
  connectionSettings,
  milliseconds,
  randomId,
} from "./connection-options.ts";
import { Outbox } from "./outbox.ts";
import {
  DEFAULT_CLOSE_TIMEOUT_MS,
  DEFAULT_MAX_UNACKNOWLEDGED,
  deliveryOf,
  type OutgoingMessage,
  type ProducerOptions,
  type SendOptions,
} from "./producer-options.ts";
import { encodedRequest, type FrameOptions } from "./stream-call.ts";

const FRAMES: FrameOptions<ProduceResponse> = { readFrame: readAcked };

/**
 * Sends messages to one topic of one server. `initConn()` first, `close()` last. The order of sends is the
 * order of the topic.
 */
export class Producer<T = string> {
  readonly #settings: ConnectionSettings;
  readonly #codec: Encoder<T>;
  readonly #delivery: Delivery;
  readonly #closeTimeoutMs: number;
  readonly #producerId = randomId();
  readonly #connection: Connection<ProduceRequest, ProduceResponse>;
  readonly #outbox: Outbox;
  #instance = "";
  #nextId = 0;
  /** Of the batch that the last `send()` went in. */
  #batchSettled: Promise<void> | undefined;
  #closing: Promise<void> | undefined;

  /** Throws INVALID_ARGUMENT or `InvalidTopic` for what cannot be. */
  constructor(host: string, port: number, topic: string, options: ProducerOptions<T> = {}) {
    this.#settings = connectionSettings(host, port, topic, options);
    // Without a codec, T is string: the default of the type parameter.
    this.#codec = options.codec ?? (text as unknown as Encoder<T>);
    this.#delivery = deliveryOf(options.delivery);
    this.#closeTimeoutMs = parseDuration(options.closeTimeout ?? DEFAULT_CLOSE_TIMEOUT_MS, "closeTimeout");
    this.#connection = new Connection(this.#settings, this.#owner());
    const connection = this.#connection;
    this.#outbox = new Outbox(
      {
        get isOpen() {
          return connection.isOpen;
        },
        send: (frame) => connection.send(encodedRequest(frame)),
      },
      milliseconds(options.unique, "unique"),
      parseSize(options.maxUnacknowledged ?? DEFAULT_MAX_UNACKNOWLEDGED, "maxUnacknowledged"),
    );
  }

  /** How the connection is. */
  get state(): ConnectionState {
    return this.#connection.state;
  }

  /** Bytes that are sent, or wait to be, and are not acknowledged. */
  get unacknowledgedBytes(): number {
    return this.#outbox.held;
  }

  /**
   * Connects. Throws `ConnectionRefusedError`, `Unauthenticated`, `InvalidTopic` or `InitFailed`, and may then
   * be called again. With `reconnect` it fails at the first refusal, too, unless `initial` is set.
   */
  initConn(): Promise<void> {
    return this.#connection.init();
  }

  /**
   * Sends one message; resolves when the server stored it. Sends of one tick travel together. An `id` that is
   * left out is the next of this producer's own numbers, from 0. Rejects with INVALID_ARGUMENT,
   * `MessageTooLarge`, `SendBufferFull`, `QueueFull`, `DeadConnectionUsed`, `WrongAck`, `OutcomeUnknown`, or
   * another `TinyMQError`.
   */
  send(message: T, id?: number, options?: SendOptions): Promise<void> {
    try {
      this.#check();
      const settled = this.#add(message, id, options?.headers, options);
      // A promise of its own for each send, which costs less than a pair of functions to settle one. The first
      // of a batch has the batch's, which whoever awaits every send is spared a turn by.
      if (settled === this.#batchSettled) return settled.then();
      this.#batchSettled = settled;
      return settled;
    } catch (thrown) {
      return Promise.reject(thrown);
    }
  }

  /**
   * Sends many messages; resolves when all are stored. Waits for room where `send()` would fail with
   * `SendBufferFull`. Rejects as `send()` does, with the first error; what was added before that may be
   * stored all the same. `options.headers` are for the messages that have none.
   */
  async sendBatch(messages: Iterable<OutgoingMessage<T>>, options?: SendOptions): Promise<void> {
    const batches = new Set<Promise<void>>();
    let failure: { error: unknown } | undefined;
    for (const { body, id, headers } of messages) {
      while (this.#outbox.held * 2 >= this.#outbox.maxHeld && this.#connection.trouble === undefined) {
        await this.#outbox.nextSettled();
      }
      if (failure !== undefined) break;
      this.#check();
      const settled = this.#add(body, id, headers ?? options?.headers, options);
      if (batches.has(settled)) continue;
      batches.add(settled);
      settled.catch((error) => {
        failure ??= { error };
      });
    }
    await Promise.all(batches);
  }

  /**
   * Waits for the acknowledgements of what was sent, for `closeTimeout` at most, and closes. What is not
   * acknowledged then rejects with `DeadConnectionUsed`. Can be called twice.
   */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(): Promise<void> {
    const { clock } = this.#settings;
    let late = false;
    let stop = () => {};
    const limit = new Promise<void>((resolve) => {
      stop = resolve;
    });
    const cancelTimer = clock.after(this.#closeTimeoutMs, () => {
      late = true;
      stop();
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

  #add(message: T, id: number | undefined, headers?: Headers, options?: SendOptions): Promise<void> {
    const delayMs = options === undefined ? 0 : milliseconds(options.delay, "delay");
    const ttlMs = options === undefined ? 0 : milliseconds(options.ttl, "ttl");
    const body = this.#codec.encode(message);
    const settled = this.#outbox.add(id ?? this.#nextId, body, headers, delayMs, ttlMs);
    if (id === undefined) this.#nextId += 1;
    return settled;
  }

  #owner(): ConnectionOwner<ProduceRequest, ProduceResponse> {
    return {
      heartbeat: { kind: { oneofKind: "heartbeat", heartbeat: {} } },
      call: (client, options) => client.produce({ ...options, ...FRAMES }),
      openFrame: () => this.#openFrame(),
      opened: (response) => this.#opened(response),
      receive: (response) => this.#receive(response),
      leaving: () => {},
      interrupted: () => {},
      ended: (error) => this.#outbox.fail(error instanceof WrongAck ? error : deadConnection(error)),
    };
  }

  #openFrame(): ProduceRequest {
    const { topic, token } = this.#settings;
    const open = {
      topic,
      token,
      delivery: this.#delivery,
      producerId: this.#producerId,
      firstSeq: this.#outbox.firstSeq,
      instance: this.#instance,
    };
    return { kind: { oneofKind: "open", open } };
  }

  #opened(response: ProduceResponse) {
    if (response.kind.oneofKind !== "opened") throw unexpectedAnswer(response.kind.oneofKind);
    const { instance, known, limits } = response.kind.opened;
    // Only a server that kept its memory can have stored what it does not remember being sent.
    if (this.#instance !== "" && !known && instance === this.#instance) this.#outbox.forget();
    this.#instance = instance;
    if (limits !== undefined) this.#outbox.limit(limits);
    this.#outbox.resume();
    const { heartbeatMs = 0, deadAfterMs = 0 } = limits ?? {};
    return { times: { heartbeatMs, deadAfterMs }, state: "open" as const };
  }

  #receive(response: ProduceResponse): void {
    switch (response.kind.oneofKind) {
      case "acked":
        return this.#outbox.acked(response.kind.acked.seq);
      case "rejected": {
        const { seq, code, message } = response.kind.rejected;
        return this.#outbox.rejected(seq, code, message);
      }
      case "heartbeat":
        return;
      default:
        throw unexpectedAnswer(response.kind.oneofKind);
    }
  }
}
