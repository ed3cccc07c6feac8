/** A server without its sockets: broker, sessions and a clock that tests move. */
import { Broker } from "../../src/broker/broker.ts";
import { type BrokerLimits, DEFAULT_LIMITS } from "../../src/broker/broker-limits.ts";
import type { SessionContext } from "../../src/session/context.ts";
import type { Session } from "../../src/session/frame-socket.ts";
import { SendBuffers } from "../../src/session/send-buffers.ts";
import { firstVersionSession, streamSession } from "../../src/session/sessions.ts";
import { FrameWriter } from "../../src/wire/frames.ts";
import { FakeClock } from "./fake-clock.ts";
import { FakeSocket, type SocketEvent } from "./fake-socket.ts";

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
    this.session.closed(code, "");
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

export class World {
  readonly clock = new FakeClock();
  readonly events: SocketEvent[] = [];
  /** Those whose end the session has not been told. */
  readonly links = new Set<Link>();
  /** What went wrong and concerned no client. */
  readonly failures: unknown[] = [];
  readonly misbehaviour: string[] = [];
  readonly sendBuffers: SendBuffers;
  readonly broker: Broker;
  readonly context: SessionContext;
  #links = 0;

  /** `sendBytes`: what may wait to be sent; a quarter of the memory, as in a server, where it is left out. */
  constructor(limits: Partial<BrokerLimits> = {}, sendBytes?: number) {
    const published = new FrameWriter();
    const utf8 = new TextEncoder();
    this.broker = new Broker({
      clock: this.clock,
      limits: { ...DEFAULT_LIMITS, ...limits },
      publisher: {
        publish: (topic, epoch, before, count, batch) => {
          const frame = published.published(utf8.encode(epoch), before, count, batch);
          this.sendBuffers.publish(topic, frame, () => {
            for (const { socket } of this.links) {
              if (socket.subscriptions.has(topic) && socket.closed === null) socket.send(frame);
            }
          });
        },
      },
      failed: (what, error) => this.failures.push(new Error(what, { cause: error })),
    });
    this.sendBuffers = new SendBuffers(
      sendBytes ?? this.broker.limits.maxMemory / 4,
      (bytes) => this.broker.charge(bytes),
      (run) => this.clock.after(0, run),
    );
    this.context = {
      broker: this.broker,
      sendBuffers: this.sendBuffers,
      frames: new FrameWriter(),
      heartbeatMs: 15_000,
      deadAfterMs: 45_000,
      limits: {
        maxMessageBytes: this.broker.limits.maxMessageBytes,
        maxFrameBytes: this.broker.limits.maxMessageBytes + 65 * 1024,
        maxBatchMessages: 8_192,
        maxInFlight: 0,
        heartbeatMs: 15_000,
        deadAfterMs: 45_000,
      },
      authenticate: (token) => (token === "" ? { may: () => true } : null),
      misbehaved: (what) => this.misbehaviour.push(what),
    };
  }

  /** A connection of the protocol, before its first frame. */
  connect(method: Method): Link {
    return this.#link(method, (socket) => streamSession(`/tinymq.v1.TinyMQ/${method}`, socket, this.context));
  }

  /** A connection of the first version, before its first frame. */
  connectFirstVersion(path = "/"): Link {
    return this.#link("v0", (socket) => firstVersionSession(path, socket, this.context));
  }

  /** What the topics hold, and what waits to be sent, as it should be charged. */
  get memoryHeld(): number {
    let held = this.sendBuffers.total;
    for (const topic of this.broker.topics.values()) {
      held += topic.backlog.memory + topic.acceptor.memory;
      held += topic.dispatcher.memory + (topic.deaths?.memory ?? 0);
    }
    return held;
  }

  #link(kind: string, open: (socket: FakeSocket) => Session): Link {
    this.#links += 1;
    const socket = new FakeSocket(`${kind} ${this.#links}`, this.events);
    const link = new Link(this, socket, open(socket));
    this.links.add(link);
    return link;
  }
}
