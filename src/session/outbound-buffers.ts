/**
 * What waits to be sent, of all clients. It is charged to the memory cap; above a quarter of the cap the
 * slowest clients are closed, so that they never cost the others.
 *
 * Always holds: what was seen of the clients' buffers is at most the limit, and what a publish may have added
 * since is at most a quarter of it.
 */
import { TinyMQError } from "../errors.ts";
import { MiB } from "../wire/limits.ts";
import { formatSize } from "../wire/units.ts";

export interface Buffering {
  readonly bufferedBytes: number;
  /** Ends the stream of a slow client. */
  fail(error: TinyMQError): void;
}

export interface Subscribing extends Buffering {
  /** Sends a published frame; it is lost if there is no room for it. */
  offer(frame: Uint8Array): void;
}

/** One live fan-out, and who is in it. */
interface Audience {
  readonly topic: string;
  readonly members: Set<Subscribing>;
  /** What was published through the runtime since its members were looked at may have added so much. */
  unseen: number;
}

/** Of the limit: what may be added without a look, and what closed connections may still hold. */
const SHARE = 1 / 4;

export class OutboundBuffers {
  readonly #limit: number;
  readonly #lookAt: number;
  readonly #charge: (bytes: number) => void;
  readonly #later: (run: () => void) => void;
  readonly #charged = new Map<Buffering, number>();
  readonly #audiences = new Map<string, Audience>();
  readonly #audienceOf = new Map<Buffering, Audience>();
  /** Those with something unseen, and how much it is of all of them. */
  readonly #unseen = new Set<Audience>();
  #unseenBytes = 0;
  #willLook = false;
  #total = 0;
  #lingering = 0;

  /**
   * `limit` in bytes; `charge` is told of every change. `later` calls `run` once the runtime has handed out
   * what was published until now.
   */
  constructor(limit: number, charge: (bytes: number) => void, later: (run: () => void) => void) {
    this.#limit = limit;
    this.#lookAt = Math.min(MiB, (limit * SHARE) / 2);
    this.#charge = charge;
    this.#later = later;
  }

  get total(): number {
    return this.#total;
  }

  addSubscriber(topic: string, subscriber: Subscribing): void {
    const audience = this.#audiences.get(topic) ?? { topic, members: new Set(), unseen: 0 };
    this.#audiences.set(topic, audience);
    audience.members.add(subscriber);
    this.#audienceOf.set(subscriber, audience);
  }

  /** Looks at a client's buffer again. */
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
   * Hands a frame to a topic's subscribers: through `toAll`, the runtime's own fan-out, which buffers for each
   * of them by itself; or one by one, with a look at each, where that could be more than is left to add.
   */
  publish(topic: string, frame: Uint8Array, toAll: () => void): void {
    const audience = this.#audiences.get(topic);
    if (audience === undefined) return;
    const mayAdd = frame.length * audience.members.size;
    if (this.#unseenBytes + mayAdd > this.#limit * SHARE) {
      this.#offer(audience, frame);
      return;
    }
    toAll();
    this.#unseen.add(audience);
    this.#unseenBytes += mayAdd;
    audience.unseen += mayAdd;
    if (this.#willLook || this.#unseenBytes < this.#lookAt) return;
    this.#willLook = true;
    this.#later(() => this.#look());
  }

  /** Whether a connection may close in peace with so many bytes unsent. If so, `lingered` ends it. */
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

  /** Whoever is sent a frame is first sent what was published before: nothing of this audience is unseen then. */
  #offer(audience: Audience, frame: Uint8Array): void {
    this.#seen(audience);
    // Who is closed gives back messages, and what becomes of them may be published with the same writer.
    const own = frame.slice();
    for (const member of audience.members) {
      member.offer(own);
      this.update(member);
    }
  }

  #look(): void {
    this.#willLook = false;
    for (const audience of [...this.#unseen]) {
      this.#seen(audience);
      for (const member of audience.members) this.update(member);
    }
  }

  #seen(audience: Audience): void {
    this.#unseen.delete(audience);
    this.#unseenBytes -= audience.unseen;
    audience.unseen = 0;
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
        new TinyMQError("RESOURCE_EXHAUSTED", `slow consumer: more than ${limit} wait unsent; read faster`),
      );
      this.forget(client);
    }
  }
}
