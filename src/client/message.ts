/** A message as a loop over a consumer sees it. */
import type { Headers } from "../wire/encode.ts";
import { milliseconds, type RetryOptions } from "./options.ts";
import type { Positions } from "./positions.ts";
import type { Receiver } from "./receiver.ts";

/** Of a message without headers. */
export const NO_HEADERS: Headers = Object.freeze(Object.create(null));

/**
 * One message that a loop returned. It is settled once, by `ack`, `retry` or `reject`; after that, and after
 * the connection that delivered it is lost or closed, the three do nothing.
 */
export class ConsumedMessage<T> {
  /** The producer's id: 0 to 2^53-1, not necessarily unique. */
  readonly id: number;
  readonly body: T;
  /** An object without a prototype. */
  readonly headers: Headers;
  /** The message's number in its topic: strictly increasing, not dense. */
  readonly offset: number;
  /** Whether it was delivered before, to any consumer. */
  readonly redelivered: boolean;
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
    this.#receiver = receiver;
    this.#positions = receiver.positions;
    this.#position = inbox.position;
  }

  /** Acknowledges it: it is consumed. Sent to the server within 50 ms. */
  ack(): void {
    this.#receiver.done(this.#positions, this.#position);
  }

  /**
   * Gives it back, to be delivered again. In exclusive and standby mode the messages behind it are delivered
   * again too, after it, so that order is kept; but if the program holds a later message, and in shared mode,
   * it alone is given back.
   */
  retry(options: RetryOptions = {}): void {
    const delayMs = milliseconds(options.delay, "delay");
    this.#receiver.retry(this.#positions, this.#position, options.reason ?? "", delayMs);
  }

  /** Moves it to the dead-letter topic, with the reason; at most 1,024 bytes of it are kept. */
  reject(reason: string): void {
    this.#receiver.reject(this.#positions, this.#position, reason);
  }
}
