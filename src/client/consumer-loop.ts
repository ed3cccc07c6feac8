/** `for await` over a consumer. */
import type { ConsumedMessage } from "./message.ts";
import type { Receiver } from "./receiver.ts";

/** One loop. Always holds: it counts among `demand.loops` from its first step until it ended. */
export class ConsumerLoop<T> implements AsyncIterableIterator<ConsumedMessage<T>> {
  readonly #receiver: Receiver;
  readonly #autoAck: boolean;
  readonly #message: () => ConsumedMessage<T>;
  #state: "new" | "running" | "ended" = "new";
  #last: ConsumedMessage<T> | undefined;

  /** `message` makes the message that the inbox stands on. It throws where the body cannot be decoded. */
  constructor(receiver: Receiver, autoAck: boolean, message: () => ConsumedMessage<T>) {
    this.#receiver = receiver;
    this.#autoAck = autoAck;
    this.#message = message;
  }

  /** Acknowledges the last message of this loop, and gives the next. */
  next(): Promise<IteratorResult<ConsumedMessage<T>>> {
    const receiver = this.#receiver;
    if (this.#autoAck && this.#last !== undefined) this.#last.ack();
    this.#last = undefined;
    if (this.#state === "ended") return Promise.resolve({ value: undefined, done: true });
    try {
      if (this.#state === "new") {
        this.#state = "running";
        receiver.demand.loops += 1;
      }
      if (receiver.take()) return Promise.resolve(this.#hand());
      // Nothing comes any more: it would wait for ever.
      const { trouble } = receiver.connection;
      if (trouble !== undefined) return this.#fail(trouble);
    } catch (thrown) {
      return this.#fail(thrown);
    }
    return new Promise((resolve) => {
      receiver.demand.wait({
        take: () => resolve(this.#hand()),
        empty: () => {},
        fail: (thrown) => resolve(this.#fail(thrown)),
        deadline: Number.POSITIVE_INFINITY,
        pullId: 0,
      });
    });
  }

  /** The loop was left: sends what is acknowledged; the last message is not. */
  return(): Promise<IteratorResult<ConsumedMessage<T>>> {
    this.#end();
    this.#receiver.flush();
    return Promise.resolve({ value: undefined, done: true });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  #hand(): IteratorResult<ConsumedMessage<T>> {
    const message = this.#message();
    this.#last = message;
    return { value: message, done: false };
  }

  /** Ends the loop with what was thrown, or quietly if the consumer was closed. */
  #fail(thrown: unknown): Promise<IteratorResult<ConsumedMessage<T>>> {
    this.#end();
    if (this.#receiver.connection.isClosedWell) return Promise.resolve({ value: undefined, done: true });
    return Promise.reject(thrown);
  }

  #end(): void {
    if (this.#state === "running") this.#receiver.demand.loops -= 1;
    this.#state = "ended";
    this.#last = undefined;
  }
}
