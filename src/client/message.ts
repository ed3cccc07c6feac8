/** A message as a loop over a consumer sees it. */
import type { Headers } from "../wire/encode.ts";
import { describe, invalid } from "./check.ts";
import type { RetryOptions } from "./options.ts";
import type { Positions } from "./positions.ts";
import type { Receiver } from "./receiver.ts";
import { checkRetryOptions, milliseconds } from "./settings.ts";

/** Of a message without headers. */
export const NO_HEADERS: Headers = Object.freeze(Object.create(null));

/**
 * One message that a loop returned; `T` is its body's type. It is settled once, by `ack`, `retry` or `reject`; after
 * that the three do nothing. On a closed consumer they throw `DeadConnectionUsed`. If the connection that delivered it
 * was lost and came back they have no effect: the message is delivered again, and the next `consumer.flush()` rejects.
 */
export class ConsumedMessage<T> {
  /** The producer's id: 0 to 2^53-1, not necessarily unique. */
  readonly id: number;
  readonly body: T;
  /** Text to text: an object without a prototype. */
  readonly headers: Headers;
  /** The message's number in its topic: strictly increasing, not dense. The same when it is delivered again. */
  readonly offset: number;
  /** Whether it was delivered before, to any consumer. */
  readonly redelivered: boolean;
  /**
   * 1, and one more for each earlier delivery after which the message was retried, or after which the program had it and
   * its connection ended without `close()`. A message that was only fetched behind another keeps its number.
   */
  readonly attempt: number;
  readonly #receiver: Receiver;
  readonly #positions: Positions;
  readonly #position: number;

  /** @internal The message that the receiver's inbox stands on. */
  constructor(receiver: Receiver, body: T) {
    const { inbox } = receiver;
    this.id = inbox.reader.id;
    this.body = body;
    this.headers = inbox.reader.headers() ?? NO_HEADERS;
    this.offset = inbox.offset;
    this.redelivered = inbox.redelivered;
    this.attempt = inbox.deliveries + 1;
    this.#receiver = receiver;
    this.#positions = receiver.positions;
    this.#position = inbox.position;
  }

  /** Acknowledges it: it is consumed. Sent to the server within 50 ms. Throws `DeadConnectionUsed`. */
  ack(): void {
    this.#check();
    this.#receiver.done(this.#positions, this.#position);
  }

  /**
   * Gives it back, to be delivered again. In exclusive and standby mode it holds the topic: it comes again first, after
   * the delay, and what is behind it after that, so that order is kept. In shared mode, and if the program holds a later
   * message, it alone is given back, and what is behind it does not wait. Throws `DeadConnectionUsed` and
   * INVALID_ARGUMENT.
   */
  retry(options?: RetryOptions): void {
    this.#check();
    checkRetryOptions(options);
    const delayMs = milliseconds(options?.delay, "delay");
    this.#receiver.retry(this.#positions, this.#position, options?.reason ?? "", delayMs);
  }

  /**
   * Moves it to the topic `<topic>.dead`, with the reason as the header `tinymq-dead-reason`; at most 1,024 bytes of it
   * are kept. In a dead-letter topic it is dropped. Throws `DeadConnectionUsed` and INVALID_ARGUMENT.
   */
  reject(reason: string): void {
    this.#check();
    if (typeof reason !== "string") throw invalid(`reject() takes a reason, text, not ${describe(reason)}`);
    this.#receiver.reject(this.#positions, this.#position, reason);
  }

  #check(): void {
    const { trouble } = this.#receiver.connection;
    if (trouble !== undefined) throw trouble;
  }
}
