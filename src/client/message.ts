/** A message as a loop over a consumer sees it. */
import type { Headers } from "../wire/encode.ts";
import type { Duration } from "../wire/units.ts";
import { milliseconds } from "./connection-options.ts";
import type { Lease } from "./positions.ts";
import type { Intake } from "./receiver.ts";

/** How a message is given back. */
export interface RetryOptions {
  /** Not delivered again before this much time is over. */
  delay?: Duration;
  /** Why; at most 1,024 bytes are kept. */
  reason?: string;
}

/** Of a message without headers. */
export const NO_HEADERS: Headers = Object.freeze(Object.create(null));

/**
 * One message that this consumer was handed. It is settled once, by `ack`, `retry` or `reject`; after that,
 * and after the connection that delivered it is gone, the three do nothing.
 */
export class ConsumedMessage<T> {
  /** As its producer chose it. */
  readonly id: number;
  readonly body: T;
  /** An object without a prototype. */
  readonly headers: Headers;
  /** Its number in the topic: increasing, not dense. */
  readonly offset: number;
  /** Whether it was delivered before, to anyone. */
  readonly redelivered: boolean;
  readonly #intake: Intake;
  readonly #lease: Lease;
  readonly #position: number;

  /** Of the message that the intake's inbox stands on. */
  constructor(intake: Intake, body: T) {
    const { inbox } = intake;
    this.id = inbox.reader.id;
    this.body = body;
    this.headers = inbox.reader.headers() ?? NO_HEADERS;
    this.offset = inbox.offset;
    this.redelivered = inbox.redelivered;
    this.#intake = intake;
    this.#lease = intake.lease;
    this.#position = inbox.position;
  }

  /** It is consumed. The server hears of it within 50 ms. */
  ack(): void {
    this.#intake.done(this.#lease, this.#position);
  }

  /**
   * It is given back, and delivered again. In exclusive and standby mode order counts: what comes behind it
   * comes behind it again; unless the program holds a later message, or the mode is shared: then it alone
   * is given back.
   */
  retry(options: RetryOptions = {}): void {
    const delayMs = milliseconds(options.delay, "delay");
    this.#intake.retry(this.#lease, this.#position, options.reason ?? "", delayMs);
  }

  /** It goes to the dead-letter topic, with the reason; at most 1,024 bytes of it are kept. */
  reject(reason: string): void {
    this.#intake.reject(this.#lease, this.#position, reason);
  }
}
