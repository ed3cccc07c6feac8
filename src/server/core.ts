/**
 * The parts of a server behind its port: broker, sessions, admission. They are loaded apart from the rest, so that
 * the start is not delayed: after the port is bound, unless there is a snapshot to restore first.
 */
import { Broker } from "../broker/broker.ts";
import { type BrokerLimits, DEFAULT_LIMITS } from "../broker/broker-limits.ts";
import type { Publisher } from "../broker/ports.ts";
import type { SessionContext } from "../session/context.ts";
import type { OpenSession } from "../session/frame-socket.ts";
import { OutboundBuffers } from "../session/outbound-buffers.ts";
import type { Principal } from "../session/principal.ts";
import { streamSession } from "../session/sessions.ts";
import { CLOSE_RESTART } from "../wire/close.ts";
import { FrameWriter } from "../wire/frames.ts";
import { DEAD_AFTER_HEARTBEATS, MAX_BATCH_MESSAGES, MAX_MESSAGE_BYTES } from "../wire/limits.ts";
import { Admission } from "./admission.ts";
import { type BunSocket, type ConnectionHandlers, connectionHandlers } from "./bun-socket.ts";
import { Turns } from "./frame-queue.ts";
import { LogLimiter } from "./log-limiter.ts";
import { stackOf } from "./logger.ts";
import type { CoreParts } from "./parts.ts";
import { RequestBodies } from "./request-bodies.ts";
import type { ResolvedOptions } from "./server-options.ts";

/**
 * Maximum connections that have not opened a stream. Each may have sent all of a first frame but its last byte, and
 * Bun buffers that up to the size limit of all frames: the larger the limit, the fewer such connections.
 */
const MAX_UNOPENED = 64;
const LEAST_UNOPENED = 8;
/** How long `closeStreams` waits for the closing handshakes. */
const CLOSE_GRACE_MS = 1_000;

export class Core {
  readonly broker: Broker;
  readonly admission: Admission;
  readonly handlers: ConnectionHandlers;
  /** Creates the sessions of v1 streams. */
  readonly v1: OpenSession = streamSession;
  readonly #parts: CoreParts;
  readonly #outboundBuffers: OutboundBuffers;
  readonly #bodies: RequestBodies;
  readonly #connections = new Set<BunSocket>();

  constructor(parts: CoreParts) {
    this.#parts = parts;
    const { options } = parts;
    this.broker = new Broker({
      clock: parts.clock,
      limits: brokerLimits(options),
      publisher: this.#publisher(),
    });
    this.#outboundBuffers = new OutboundBuffers(
      options.maxMemory / 4,
      (bytes) => this.broker.charge(bytes),
      // Bun sends small published frames at the end of a turn, which is over when a timer runs.
      (run) => setTimeout(run, 0),
    );
    this.#bodies = new RequestBodies(this.broker.timers);
    this.admission = new Admission(
      this.broker.timers,
      options.maxConnections,
      maxUnopened(parts.maxFrameBytes),
    );
    this.handlers = connectionHandlers({
      context: this.#context(),
      admission: this.admission,
      connections: this.#connections,
      turns: new Turns(() => parts.clock.now(), setImmediate),
    });
  }

  get connections(): number {
    return this.#connections.size;
  }

  /** Time since the start, in ms. */
  get uptimeMs(): number {
    return this.#parts.uptimeMs();
  }

  /** Logs an unexpected error, with its stack. */
  readonly failed = (what: string, error: unknown) => this.#parts.logger.error(`${what}: ${stackOf(error)}`);

  // The next two are loaded on demand, since most servers never need them. The daemon is one file, which an upgrade
  // cannot change under it; a program that embeds the server is started again after an upgrade.

  /** Creates the sessions of first-version connections. */
  async v0(): Promise<OpenSession> {
    const { firstVersionSession } = await import("../session/v0.ts");
    return firstVersionSession;
  }

  /** Answers one unary call. */
  async unary(principal: Principal, request: Request, path: string): Promise<Response> {
    const { handleTwirp } = await import("./admin-service.ts");
    return handleTwirp(this, principal, request, path);
  }

  /** The body of a unary call, bounded. */
  body(request: Request): Promise<Uint8Array> {
    return this.#bodies.read(request);
  }

  /** Ends all streams with 1012; resolves when their connections are closed, or after CLOSE_GRACE_MS. */
  async closeStreams(): Promise<void> {
    for (const connection of this.#connections) connection.stop(CLOSE_RESTART, "the server is stopping");
    const until = performance.now() + CLOSE_GRACE_MS;
    while (this.#connections.size > 0 && performance.now() < until) {
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }

  #publisher(): Publisher {
    const frames = new FrameWriter();
    const utf8 = new TextEncoder();
    return {
      publish: (topic, epoch, published, count, batch) => {
        const frame = frames.published(utf8.encode(epoch), published, count, batch);
        this.#outboundBuffers.publish(topic, frame, () => this.#parts.publish(topic, frame));
      },
    };
  }

  #context(): SessionContext {
    const { options, clock, logger, maxFrameBytes } = this.#parts;
    const limiter = new LogLimiter(clock, (line) => logger.warn(line));
    const deadAfterMs = options.heartbeat * DEAD_AFTER_HEARTBEATS;
    return {
      broker: this.broker,
      outboundBuffers: this.#outboundBuffers,
      frames: new FrameWriter(),
      heartbeatMs: options.heartbeat,
      deadAfterMs,
      limits: {
        maxMessageBytes: options.maxMessageSize,
        maxFrameBytes,
        maxBatchMessages: MAX_BATCH_MESSAGES,
        maxInFlight: 0,
        heartbeatMs: options.heartbeat,
        deadAfterMs,
      },
      authenticate: this.#parts.authenticate,
      failed: this.failed,
      misbehaved: (what) => limiter.log(what),
    };
  }
}

/** 64, or fewer, so that Bun buffers at most 128 MiB of unfinished first frames; but at least 8. */
function maxUnopened(maxFrameBytes: number): number {
  const fitting = Math.floor((MAX_UNOPENED * 2 * MAX_MESSAGE_BYTES) / maxFrameBytes);
  return Math.max(LEAST_UNOPENED, Math.min(MAX_UNOPENED, fitting));
}

function brokerLimits(options: ResolvedOptions): BrokerLimits {
  return {
    ...DEFAULT_LIMITS,
    maxMemory: options.maxMemory,
    maxTopicMemory: options.maxTopicMemory,
    overflow: options.overflow,
    maxMessageBytes: options.maxMessageSize,
    maxTopics: options.maxTopics,
    maxDeliveries: options.maxDeliveries,
    idleTopicTtlMs: options.idleTopicTtl,
    defaultTtlMs: options.defaultTtl,
    maxTtlMs: options.maxTtl,
  };
}
