/** The iterator behind `for await` over a consumer. */
import type { ConsumedMessage } from "./message.ts";
import type { Positions } from "./positions.ts";
import type { Receiver } from "./receiver.ts";
import { Waiter } from "./waiters.ts";

type Step<T> = IteratorResult<ConsumedMessage<T>>;

/** What a loop needs of its consumer. */
export interface LoopOwner<T> {
  readonly receiver: Receiver;
  readonly autoAck: boolean;
  /** The running loops. */
  readonly loops: Set<ConsumerLoop<T>>;
  /** Whether the consumer is stopping: loops then end at their next step. */
  stopping: boolean;
  /** The inbox's current message. */
  message(): ConsumedMessage<T>;
}

/** One loop. Always holds: it is in `owner.loops` from its first step until it ends. */
export class ConsumerLoop<T> implements AsyncIterableIterator<ConsumedMessage<T>> {
  readonly #owner: LoopOwner<T>;
  #state: "new" | "running" | "ended" = "new";
  /** Position and stream of the message that the program is working on. */
  #position = -1;
  #positions: Positions | undefined;
  /** The pending step, which waits for a message. */
  #step: Promise<Step<T>> | undefined;
  #waiter: Waiter | undefined;

  constructor(owner: LoopOwner<T>) {
    this.#owner = owner;
  }

  /** Whether the program is working on an unsettled message, also if its stream has ended meanwhile. */
  get isWorking(): boolean {
    return this.#positions?.isSettled(this.#position) === false;
  }

  /**
   * Acknowledges this loop's last message, with `autoAck`, and returns the next. While a step is pending, further
   * calls return it: a caller that stops waiting (in a race with a timer, say) and calls again misses nothing.
   */
  next(): Promise<Step<T>> {
    if (this.#step !== undefined) return this.#step;
    const { receiver, autoAck, stopping } = this.#owner;
    if (autoAck && this.#positions !== undefined) receiver.doneBeforeTake(this.#positions, this.#position);
    this.#positions = undefined;
    if (stopping) this.#end();
    if (this.#state === "ended") return Promise.resolve(DONE);
    try {
      if (this.#state === "new") this.#begin();
      if (receiver.take()) return Promise.resolve(this.#hand());
    } catch (thrown) {
      return this.#fail(thrown);
    }
    return this.#wait();
  }

  #wait(): Promise<Step<T>> {
    const { receiver } = this.#owner;
    // No message will arrive any more, so the step would wait for ever.
    const { trouble } = receiver.connection;
    if (trouble !== undefined) return this.#fail(trouble);
    this.#step = new Promise((resolve) => {
      const settle = (step: Step<T> | Promise<Step<T>>) => {
        this.#step = undefined;
        this.#waiter = undefined;
        resolve(step);
      };
      this.#waiter = new Waiter(
        0,
        Number.POSITIVE_INFINITY,
        () => settle(this.#hand()),
        () => {
          this.#end();
          settle(DONE);
        },
        (thrown) => settle(this.#fail(thrown)),
      );
    });
    const step = this.#step;
    receiver.demand.wait(this.#waiter!);
    return step;
  }

  /** Ends the loop and sends pending acknowledgements; the last message stays unacknowledged. */
  return(): Promise<Step<T>> {
    const waiter = this.#waiter;
    if (waiter !== undefined) {
      this.#owner.receiver.demand.leave(waiter);
      waiter.empty();
    } else {
      this.#end();
    }
    this.#owner.receiver.tell();
    return Promise.resolve(DONE);
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  #begin(): void {
    this.#state = "running";
    this.#owner.loops.add(this);
    this.#owner.receiver.demand.loops += 1;
  }

  #hand(): Step<T> {
    const { receiver } = this.#owner;
    this.#positions = receiver.positions;
    this.#position = receiver.inbox.position;
    return { value: this.#owner.message(), done: false };
  }

  /** Ends the loop with the thrown error, or normally if the consumer was closed. */
  #fail(thrown: unknown): Promise<Step<T>> {
    this.#end();
    if (this.#owner.receiver.connection.isClosedWell) return Promise.resolve(DONE);
    return Promise.reject(thrown);
  }

  #end(): void {
    if (this.#state === "running") {
      this.#owner.loops.delete(this);
      this.#owner.receiver.demand.loops -= 1;
    }
    this.#state = "ended";
    this.#positions = undefined;
    this.#owner.receiver.onProgress?.();
  }
}

const DONE: IteratorReturnResult<undefined> = Object.freeze({ value: undefined, done: true });
