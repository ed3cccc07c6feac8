/**
 * What waits to be sent, of all clients. It is charged to the memory cap; above a quarter of the cap the
 * slowest clients are closed, so that they never cost the others.
 */
import { TinyMQError } from "../errors.ts";
import { formatSize } from "../wire/units.ts";

export interface Buffering {
  readonly bufferedBytes: number;
  /** Ends the stream of a slow client. */
  fail(error: TinyMQError): void;
}

/** Published bytes between two looks at what waits for subscribers. */
const LOOK_EVERY_BYTES = 1024 * 1024;

export class SendBuffers {
  readonly #limit: number;
  readonly #charge: (bytes: number) => void;
  readonly #charged = new Map<Buffering, number>();
  readonly #subscribers = new Set<Buffering>();
  #total = 0;
  #publishedBytes = 0;

  /** `limit` in bytes; `charge` is told of every change. */
  constructor(limit: number, charge: (bytes: number) => void) {
    this.#limit = limit;
    this.#charge = charge;
  }

  get total(): number {
    return this.#total;
  }

  addSubscriber(subscriber: Buffering): void {
    this.#subscribers.add(subscriber);
  }

  /** Looks at a client's buffer again. */
  update(client: Buffering): void {
    this.#set(client, client.bufferedBytes);
    if (this.#total > this.#limit) this.#closeFullest();
  }

  forget(client: Buffering): void {
    this.#subscribers.delete(client);
    this.#set(client, 0);
  }

  /** So many bytes were published: the runtime buffers them for each subscriber by itself. */
  published(byteLength: number): void {
    this.#publishedBytes += byteLength;
    if (this.#publishedBytes < LOOK_EVERY_BYTES) return;
    this.#publishedBytes = 0;
    for (const subscriber of this.#subscribers) this.#set(subscriber, subscriber.bufferedBytes);
    if (this.#total > this.#limit) this.#closeFullest();
  }

  #set(client: Buffering, bytes: number): void {
    const change = bytes - (this.#charged.get(client) ?? 0);
    if (change === 0) return;
    if (bytes === 0) this.#charged.delete(client);
    else this.#charged.set(client, bytes);
    this.#total += change;
    this.#charge(change);
  }

  #closeFullest(): void {
    const fullest = [...this.#charged].sort((one, other) => other[1] - one[1]);
    for (const [client] of fullest) {
      if (this.#total <= this.#limit) return;
      const limit = formatSize(this.#limit);
      client.fail(
        new TinyMQError("RESOURCE_EXHAUSTED", `slow consumer: more than ${limit} wait unsent; read faster`),
      );
      this.forget(client);
    }
  }
}
