/**
 * The responses of one call of a generated client. protobuf-ts's own `RpcOutputStreamController` keeps every
 * message for an iterator that may never come; this class keeps none once there is a listener, and a bounded
 * number before.
 */
import type { RpcOutputStream } from "@protobuf-ts/runtime-rpc";
import { TinyMQError } from "../errors.ts";

/** Maximum responses that wait for an iterator; above it the call fails. */
const MAX_WAITING = 1_024;

type Next<O> = (message: O | undefined, error: Error | undefined, complete: boolean) => void;
type Waiter<O> = { resolve: (result: IteratorResult<O>) => void; reject: (error: Error) => void };

export class Responses<O extends object> implements RpcOutputStream<O> {
  readonly #cancel: (error: TinyMQError) => void;
  readonly #listeners: Next<O>[] = [];
  readonly #waiting: O[] = [];
  readonly #iterators: Waiter<O>[] = [];
  #end: { error: Error | undefined } | undefined;
  #listened = false;

  /** `cancel` ends the call when its loop is left, or when too many responses wait. */
  constructor(cancel: (error: TinyMQError) => void) {
    this.#cancel = cancel;
  }

  onNext(callback: Next<O>): () => void {
    this.#listened = true;
    this.#listeners.push(callback);
    return () => {
      const index = this.#listeners.indexOf(callback);
      if (index >= 0) this.#listeners.splice(index, 1);
    };
  }

  onMessage(callback: (message: O) => void): () => void {
    return this.onNext((message) => message !== undefined && callback(message));
  }

  onError(callback: (error: Error) => void): () => void {
    return this.onNext((_message, error) => error !== undefined && callback(error));
  }

  onComplete(callback: () => void): () => void {
    return this.onNext((_message, _error, complete) => complete && callback());
  }

  /** Passes on one response. */
  push(message: O): void {
    for (const listener of this.#listeners) listener(message, undefined, false);
    const iterator = this.#iterators.shift();
    if (iterator !== undefined) iterator.resolve({ value: message, done: false });
    else if (!this.#listened) this.#keep(message);
  }

  /** Ends the stream, with or without an error. Only the first call counts. */
  end(error: Error | undefined): void {
    if (this.#end !== undefined) return;
    this.#end = { error };
    for (const listener of [...this.#listeners]) listener(undefined, error, error === undefined);
    for (const iterator of this.#iterators.splice(0)) {
      if (error === undefined) iterator.resolve({ value: undefined, done: true });
      else iterator.reject(error);
    }
  }

  /** Leaving the loop cancels the call. */
  [Symbol.asyncIterator](): AsyncIterator<O> {
    return {
      next: () => this.#next(),
      return: () => {
        this.#cancel(new TinyMQError("CANCELLED", "the loop over the responses was left"));
        return Promise.resolve({ value: undefined, done: true });
      },
    };
  }

  #keep(message: O): void {
    this.#waiting.push(message);
    if (this.#waiting.length <= MAX_WAITING) return;
    this.#cancel(
      new TinyMQError("RESOURCE_EXHAUSTED", `more than ${MAX_WAITING} responses wait: read them faster`),
    );
  }

  #next(): Promise<IteratorResult<O>> {
    const message = this.#waiting.shift();
    if (message !== undefined) return Promise.resolve({ value: message, done: false });
    if (this.#end?.error !== undefined) return Promise.reject(this.#end.error);
    if (this.#end !== undefined) return Promise.resolve({ value: undefined, done: true });
    return new Promise((resolve, reject) => this.#iterators.push({ resolve, reject }));
  }
}
