/**
 * What a server needs once somebody comes: broker, sessions, Admin. Loaded with the first request, so that
 * a server that only waits costs little more than Bun itself.
 */
import { Broker } from "../broker/broker.ts";
import { type BrokerLimits, DEFAULT_LIMITS } from "../broker/broker-limits.ts";
import type { Publisher } from "../broker/ports.ts";
import type { SessionContext } from "../session/context.ts";
import type { Principal } from "../session/principal.ts";
import { SendBuffers } from "../session/send-buffers.ts";
import { CLOSE_RESTART } from "../wire/close.ts";
import { FrameWriter } from "../wire/frames.ts";
import { DEAD_AFTER_HEARTBEATS, MAX_BATCH_MESSAGES } from "../wire/limits.ts";
import { handleTwirp } from "./admin-service.ts";
import { Admission } from "./admission.ts";
import { type BunSocket, type ConnectionHandlers, connectionHandlers } from "./bun-socket.ts";
import { LogLimiter } from "./log-limiter.ts";
import type { CoreParts } from "./parts.ts";
import type { ResolvedOptions } from "./server-options.ts";

/** Connections that may be there without having opened a stream. */
const MAX_UNOPENED = 64;
/** How long `closeStreams` waits for clients to take their close frames. */
const CLOSE_GRACE_MS = 1_000;

export class Core {
  readonly broker: Broker;
  readonly admission: Admission;
  readonly handlers: ConnectionHandlers;
  readonly #parts: CoreParts;
  readonly #sendBuffers: SendBuffers;
  readonly #connections = new Set<BunSocket>();

  constructor(parts: CoreParts) {
    this.#parts = parts;
    const { options, logger } = parts;
    this.broker = new Broker({
      clock: parts.clock,
      limits: brokerLimits(options),
      publisher: this.#publisher(),
      failed: (what, error) =>
        logger.error(`${what}: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`),
    });
    this.#sendBuffers = new SendBuffers(options.maxMemory / 4, (bytes) => this.broker.charge(bytes));
    this.admission = new Admission(this.broker.timers, options.maxConnections, MAX_UNOPENED);
    this.handlers = connectionHandlers({
      context: this.#context(),
      admission: this.admission,
      connections: this.#connections,
    });
  }

  get connections(): number {
    return this.#connections.size;
  }

  /** Answers one unary call. */
  unary(principal: Principal, request: Request, path: string): Promise<Response> {
    const host = { broker: this.broker, connections: this.connections, uptimeMs: this.#parts.uptimeMs() };
    return handleTwirp(host, principal, request, path);
  }

  /** Ends all streams with 1012; resolves when their connections are closed, or after the time of grace. */
  async closeStreams(): Promise<void> {
    for (const connection of this.#connections) connection.session.stop(CLOSE_RESTART, "the server stops");
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
        this.#parts.publish(topic, frame);
        this.#sendBuffers.published(frame.length);
      },
    };
  }

  #context(): SessionContext {
    const { options, clock, logger, maxFrameBytes } = this.#parts;
    const limiter = new LogLimiter(clock, (line) => logger.warn(line));
    const deadAfterMs = options.heartbeat * DEAD_AFTER_HEARTBEATS;
    return {
      broker: this.broker,
      sendBuffers: this.#sendBuffers,
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
      misbehaved: (what) => limiter.log(what),
    };
  }
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
