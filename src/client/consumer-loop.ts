/** `for await` over a consumer. */
import type { TinyMQError } from "../errors.ts";
import type { ConsumedMessage } from "./message.ts";
import type { Intake } from "./receiver.ts";

/** What a loop needs of its consumer. */
export interface LoopSource<T> {
  readonly intake: Intake;
  readonly autoAck: boolean;
  /** Why nothing will come any more. */
  trouble(): TinyMQError | undefined;
  /** Whether the reason is that the consumer was closed. */
  isClosed(): boolean;
  /** The message that the inbox stands on. Throws where its body cannot be decoded. */
  take(): ConsumedMessage<T>;
}

/** One loop. Always holds: it counts among the intake's loops from its first step until it ended. */
export class ConsumerLoop<T> implements AsyncIterableIterator<ConsumedMessage<T>> {
  readonly #source: LoopSource<T>;
  #state: "new" | "running" | "ended" = "new";
  #last: ConsumedMessage<T> | undefined;

  constructor(source: LoopSource<T>) {
    this.#source = source;
  }

  /** Acknowledges the last message of this loop, and gives the next. */
  next(): Promise<IteratorResult<ConsumedMessage<T>>> {
    const { intake, autoAck } = this.#source;
    if (autoAck && this.#last !== undefined) this.#last.ack();
    this.#last = undefined;
    if (this.#state === "ended") return Promise.resolve({ value: undefined, done: true });
    try {
      if (this.#state === "new") {
        this.#state = "running";
        intake.loops += 1;
      }
      if (intake.take()) return Promise.resolve(this.#hand());
      // Nothing comes any more: it would wait for ever.
      const trouble = this.#source.trouble();
      if (trouble !== undefined) return this.#fail(trouble);
    } catch (thrown) {
      return this.#fail(thrown);
    }
    return new Promise((resolve, reject) => {
      intake.wait({
        take: () => {
          try {
            resolve(this.#hand());
          } catch (thrown) {
            this.#end();
            reject(thrown);
          }
        },
        empty: () => {},
        fail: (error) => resolve(this.#fail(error)),
        deadline: Number.POSITIVE_INFINITY,
        pullId: 0,
      });
    });
  }

  /** The loop was left: tells what is acknowledged; the last message is not. */
  return(): Promise<IteratorResult<ConsumedMessage<T>>> {
    this.#end();
    this.#source.intake.flush();
    return Promise.resolve({ value: undefined, done: true });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  #hand(): IteratorResult<ConsumedMessage<T>> {
    const message = this.#source.take();
    this.#last = message;
    return { value: message, done: false };
  }

  /** Ends the loop with what was thrown, or quietly if the consumer was closed. */
  #fail(thrown: unknown): Promise<IteratorResult<ConsumedMessage<T>>> {
    this.#end();
    if (this.#source.isClosed()) return Promise.resolve({ value: undefined, done: true });
    return Promise.reject(thrown);
  }

  #end(): void {
    if (this.#state === "running") this.#source.intake.loops -= 1;
    this.#state = "ended";
    this.#last = undefined;
  }
}
