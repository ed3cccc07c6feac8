/** A server without its sockets: broker, sessions and a clock that tests move. */
import { Broker } from "../../src/broker/broker.ts";
import { type BrokerLimits, DEFAULT_LIMITS } from "../../src/broker/broker-limits.ts";
import type { TopicConsumer } from "../../src/broker/outbound/topic-consumer.ts";
import type { Publisher } from "../../src/broker/ports.ts";
import { SnapshotReader, takeSnapshot } from "../../src/broker/snapshot.ts";
import { SnapshotRecord } from "../../src/gen/tinymq/v1/snapshot.ts";
import type { SessionContext } from "../../src/session/context.ts";
import type { Session } from "../../src/session/frame-socket.ts";
import { OutboundBuffers } from "../../src/session/outbound-buffers.ts";
import { streamSession } from "../../src/session/sessions.ts";
import { firstVersionSession } from "../../src/session/v0.ts";
import { FrameWriter } from "../../src/wire/frames.ts";
import { FakeClock } from "./fake-clock.ts";
import { FakeSocket, type SocketEvent } from "./fake-socket.ts";
import { countMemory } from "./memory-count.ts";

const published = new FrameWriter();
const utf8 = new TextEncoder();

interface Server {
  readonly context: SessionContext;
  readonly consumers: Set<TopicConsumer>;
  readonly leastMemory: Map<string, number>;
}

export type Method = "Produce" | "Consume" | "Subscribe";

/** One connection: the server's session and the socket it writes to. */
export class Link {
  readonly socket: FakeSocket;
  readonly session: Session;
  readonly #world: World;

  constructor(world: World, socket: FakeSocket, session: Session) {
    this.#world = world;
    this.socket = socket;
    this.session = session;
  }

  /** A frame from the client. Its bytes are spoilt afterwards: a session may not keep them. */
  receive(frame: Uint8Array): void {
    if (!this.#world.links.has(this)) throw new Error(`${this.socket.name}: a frame after its end`);
    const bytes = frame.slice();
    this.session.message(bytes);
    bytes.fill(0xa5);
  }

  /** The connection ends, with a close frame of the client's or (1006) without. */
  end(code: number): void {
    if (!this.#world.links.delete(this)) return;
    this.session.closed(code);
    this.socket.closed ??= { code, reason: "" };
    this.socket.bufferedBytes = 0;
  }

  /** The client reads all that waited for it. */
  drain(): void {
    this.socket.state = "reading";
    if (this.socket.bufferedBytes === 0) return;
    this.socket.bufferedBytes = 0;
    this.session.drained();
  }
}

/** A broker that tells who consumes, and what its topics held in between. */
class WatchedBroker extends Broker {
  readonly consumers = new Set<TopicConsumer>();
  /** The least that each topic held since it was put in here. */
  readonly leastMemory = new Map<string, number>();

  override charge(bytes: number): void {
    super.charge(bytes);
    for (const [name, least] of this.leastMemory)
      this.leastMemory.set(name, Math.min(least, this.topics.get(name)?.memory ?? 0));
  }

  override openConsumer(...of: Parameters<Broker["openConsumer"]>): TopicConsumer {
    const consumer = super.openConsumer(...of);
    this.consumers.add(consumer);
    return consumer;
  }
}

export class World {
  readonly clock = new FakeClock();
  readonly events: SocketEvent[] = [];
  /** Those whose end the session has not been told. */
  readonly links = new Set<Link>();
  /** What went wrong and concerned no client. */
  readonly failures: unknown[] = [];
  readonly misbehaviour: string[] = [];
  readonly #limits: BrokerLimits;
  readonly #sendBytes: number;
  #server: Server;
  #links = 0;

  /** `sendBytes`: what may wait to be sent; a quarter of the memory, as in a server, where it is left out. */
  constructor(limits: Partial<BrokerLimits> = {}, sendBytes?: number) {
    this.#limits = { ...DEFAULT_LIMITS, ...limits };
    this.#sendBytes = sendBytes ?? this.#limits.maxMemory / 4;
    this.#server = this.#start();
  }

  get broker(): Broker {
    return this.#server.context.broker;
  }

  get outboundBuffers(): OutboundBuffers {
    return this.#server.context.outboundBuffers;
  }

  /** See `WatchedBroker`. */
  get leastMemory(): Map<string, number> {
    return this.#server.leastMemory;
  }

  get context(): SessionContext {
    return this.#server.context;
  }

  /** Those with a stream of their own. */
  get consumers(): TopicConsumer[] {
    const { consumers } = this.#server;
    for (const consumer of consumers) if (consumer.closed) consumers.delete(consumer);
    return [...consumers];
  }

  /** A connection of the protocol, before its first frame. */
  connect(method: Method): Link {
    return this.#link(method, (socket) => streamSession(`/tinymq.v1.TinyMQ/${method}`, socket, this.context));
  }

  /** A connection of the first version, before its first frame. */
  connectFirstVersion(path = "/"): Link {
    return this.#link("v0", (socket) => firstVersionSession(path, socket, this.context));
  }

  /**
   * Throws unless what is charged is what is there, counted by the test; `garbage`: bytes of entries that may
   * be left of what is gone.
   */
  checkMemory(garbage = 0): void {
    const { least, most } = countMemory(this);
    const { memoryUsed } = this.broker;
    if (memoryUsed >= least && memoryUsed <= most + garbage) return;
    throw new Error(`${memoryUsed} bytes are charged; there are ${least} to ${most + garbage}`);
  }

  /** The server ends all streams, as it does before it stops. */
  stopStreams(): void {
    for (const { session } of [...this.links]) session.stop(1012, "");
  }

  /** The server stops and writes a snapshot; another starts with it, `downMs` later. */
  restart(downMs = 0): void {
    this.stopStreams();
    for (const link of [...this.links]) link.end(1012);
    const records = [...takeSnapshot(this.broker, "test")].map((record) => SnapshotRecord.toBinary(record));
    this.broker.close();
    this.clock.skip(downMs);
    this.#server = this.#start();
    const reader = new SnapshotReader(this.broker);
    for (const bytes of records) reader.take(SnapshotRecord.fromBinary(bytes));
    reader.finish();
  }

  #start(): Server {
    const broker = new WatchedBroker({
      clock: this.clock,
      limits: this.#limits,
      publisher: { publish: (...published) => this.#publish(...published) },
    });
    const limits = {
      maxMessageBytes: this.#limits.maxMessageBytes,
      maxFrameBytes: this.#limits.maxMessageBytes + 65 * 1024,
      maxBatchMessages: 8_192,
      maxInFlight: 0,
      heartbeatMs: 15_000,
      deadAfterMs: 45_000,
    };
    const context: SessionContext = {
      broker,
      outboundBuffers: new OutboundBuffers(
        this.#sendBytes,
        (bytes) => broker.charge(bytes),
        (run) => this.clock.after(0, run),
      ),
      frames: new FrameWriter(),
      heartbeatMs: limits.heartbeatMs,
      deadAfterMs: limits.deadAfterMs,
      limits,
      authenticate: (token) => (token === "" ? { may: () => true } : null),
      failed: (what, error) => this.failures.push(new Error(what, { cause: error })),
      misbehaved: (what) => this.misbehaviour.push(what),
    };
    return { context, consumers: broker.consumers, leastMemory: broker.leastMemory };
  }

  #publish(...[topic, epoch, before, count, batch]: Parameters<Publisher["publish"]>): void {
    const frame = published.published(utf8.encode(epoch), before, count, batch);
    this.outboundBuffers.publish(topic, frame, () => {
      for (const { socket } of this.links) {
        if (socket.subscriptions.has(topic) && socket.closed === null) socket.send(frame);
      }
    });
  }

  #link(kind: string, open: (socket: FakeSocket) => Session): Link {
    this.#links += 1;
    const socket = new FakeSocket(`${kind} ${this.#links}`, this.events);
    const link = new Link(this, socket, open(socket));
    this.links.add(link);
    return link;
  }
}
