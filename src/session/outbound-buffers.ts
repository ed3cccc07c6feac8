/**
 * The bytes buffered for all clients, charged to the memory cap. Above their limit the clients with the fullest
 * buffers are closed, so that slow clients never cost the others.
 *
 * Always holds: the buffers as last measured hold at most the limit; published frames may have added a quarter of
 * it since; connections that are closing hold at most another quarter.
 */
import { TinyMQError } from "../errors.ts";
import { MiB } from "../wire/limits.ts";
import { formatSize } from "../wire/units.ts";

export interface Buffering {
  readonly bufferedBytes: number;
  /** Ends the client's stream: it is too slow. */
  fail(error: TinyMQError): void;
}

export interface Subscribing extends Buffering {
  /** Sends a published frame, which is dropped if there is no room for it. */
  offer(frame: Uint8Array): void;
}

/** The subscribers of a topic. */
interface Audience {
  readonly topic: string;
  readonly members: Set<Subscribing>;
  /** Bytes that publishing may have added since the members' buffers were last measured. */
  unmeasured: number;
}

/** Share of the limit for bytes that are not measured yet, and again for those of closing connections. */
const SHARE = 1 / 4;

export class OutboundBuffers {
  readonly #limit: number;
  readonly #measureAt: number;
  readonly #charge: (bytes: number) => void;
  readonly #later: (run: () => void) => void;
  readonly #charged = new Map<Buffering, number>();
  readonly #audiences = new Map<string, Audience>();
  readonly #audienceOf = new Map<Buffering, Audience>();
  /** The audiences with unmeasured bytes, and the sum of those. */
  readonly #unmeasured = new Set<Audience>();
  #unmeasuredBytes = 0;
  #willMeasure = false;
  #total = 0;
  #lingering = 0;

  /**
   * `limit` is in bytes; `charge` is called with every change. `later` calls `run` once the runtime has moved what
   * was published so far into the clients' buffers.
   */
  constructor(limit: number, charge: (bytes: number) => void, later: (run: () => void) => void) {
    this.#limit = limit;
    this.#measureAt = Math.min(MiB, (limit * SHARE) / 2);
    this.#charge = charge;
    this.#later = later;
  }

  get total(): number {
    return this.#total;
  }

  addSubscriber(topic: string, subscriber: Subscribing): void {
    const audience = this.#audiences.get(topic) ?? { topic, members: new Set(), unmeasured: 0 };
    this.#audiences.set(topic, audience);
    audience.members.add(subscriber);
    this.#audienceOf.set(subscriber, audience);
  }

  /** Measures a client's buffer, and closes the slowest clients while the total is above the limit. */
  update(client: Buffering): void {
    this.#set(client, client.bufferedBytes);
    if (this.#total > this.#limit) this.#closeFullest();
  }

  forget(client: Buffering): void {
    const audience = this.#audienceOf.get(client);
    if (audience !== undefined) this.#leave(client, audience);
    this.#set(client, 0);
  }

  /**
   * Sends a frame to a topic's subscribers: through `toAll`, the runtime's own fan-out, whose buffers are measured
   * later; or one by one, measuring each buffer, when the unmeasured bytes could exceed their share.
   */
  publish(topic: string, frame: Uint8Array, toAll: () => void): void {
    const audience = this.#audiences.get(topic);
    if (audience === undefined) return;
    const mayAdd = frame.length * audience.members.size;
    if (this.#unmeasuredBytes + mayAdd > this.#limit * SHARE) {
      this.#offer(audience, frame);
      return;
    }
    toAll();
    this.#unmeasured.add(audience);
    this.#unmeasuredBytes += mayAdd;
    audience.unmeasured += mayAdd;
    if (this.#willMeasure || this.#unmeasuredBytes < this.#measureAt) return;
    this.#willMeasure = true;
    this.#later(() => this.#measure());
  }

  /** Whether a connection may close gracefully with this much unsent; if so, call `lingered` when that is gone. */
  linger(byteLength: number): boolean {
    if (this.#lingering + byteLength > this.#limit * SHARE) return false;
    this.#lingering += byteLength;
    this.#charge(byteLength);
    return true;
  }

  lingered(byteLength: number): void {
    this.#lingering -= byteLength;
    this.#charge(-byteLength);
  }

  /** Sends to each member. That flushes what was published before, so nothing of this audience stays unmeasured. */
  #offer(audience: Audience, frame: Uint8Array): void {
    this.#measured(audience);
    // A copy: closing a slow client returns its messages, and dead letters are published with the same writer.
    const own = frame.slice();
    for (const member of audience.members) {
      member.offer(own);
      this.update(member);
    }
  }

  #measure(): void {
    this.#willMeasure = false;
    for (const audience of [...this.#unmeasured]) {
      this.#measured(audience);
      for (const member of audience.members) this.update(member);
    }
  }

  #measured(audience: Audience): void {
    this.#unmeasured.delete(audience);
    this.#unmeasuredBytes -= audience.unmeasured;
    audience.unmeasured = 0;
  }

  #leave(client: Buffering, { topic, members }: Audience): void {
    members.delete(client as Subscribing);
    this.#audienceOf.delete(client);
    if (members.size === 0) this.#audiences.delete(topic);
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
        new TinyMQError(
          "RESOURCE_EXHAUSTED",
          `slow consumer: clients together have more than ${limit} unsent, and this one most of it; read faster`,
        ),
      );
      this.forget(client);
    }
  }
}
