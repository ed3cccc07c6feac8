/**
 * The server: one port for WebSockets, unary calls and health, on one address or on both loopbacks.
 *
 * States: `new`, `starting`, `running`, `stopping`, `stopped`. A server runs once.
 */
import { Broker } from "../broker/broker.ts";
import { type Clock, SYSTEM_CLOCK } from "../broker/clock.ts";
import { type BrokerLimits, DEFAULT_LIMITS } from "../broker/limits.ts";
import type { Engine } from "../engine/engine.ts";
import { MemoryEngine } from "../engine/memory/memory-engine.ts";
import { TinyMQError } from "../errors.ts";
import type { SessionContext } from "../session/context.ts";
import { Outbound } from "../session/outbound.ts";
import { CLOSE_RESTART } from "../wire/close.ts";
import { FrameWriter } from "../wire/frames.ts";
import {
  BATCH_SLACK_BYTES,
  DEAD_AFTER_HEARTBEATS,
  FRAME_SLACK_BYTES,
  KiB,
  MAX_BATCH_MESSAGES,
  MiB,
} from "../wire/limits.ts";
import { formatSize } from "../wire/units.ts";
import { checkBind, readToken, tokenChecker } from "./access.ts";
import { type Connection, type ConnectionData, connectionHandlers } from "./connection.ts";
import { Doorway } from "./doorway.ts";
import { handleRequest } from "./http.ts";
import { type Listeners, listen } from "./listen.ts";
import { LogLimiter } from "./log-limiter.ts";
import { type Logger, SILENT } from "./logger.ts";
import { type ResolvedOptions, resolveOptions, type ServerOptions } from "./options.ts";
import { readSnapshot, retireSnapshot, writeSnapshot } from "./snapshot-file.ts";

/** Connections that may be there without having opened a stream. */
const MAX_UNOPENED = 64;
/** What the socket takes beyond our own limit, so that we and not it refuse what is larger. */
const SOCKET_SLACK_BYTES = 64 * KiB;
/** How long `stop` waits for clients to take their close frames. */
const CLOSE_GRACE_MS = 1_000;

/** What a server is made of beside its options; for tests, and for those who embed it. */
export interface ServerParts {
  logger?: Logger;
  clock?: Clock;
  engine?: Engine;
  /** Told of every step while a snapshot is written, for whoever waits for the server to end. */
  onSnapshotProgress?: () => void;
}

export class TinyMQServer {
  readonly options: ResolvedOptions;
  readonly broker: Broker;
  readonly #logger: Logger;
  readonly #clock: Clock;
  readonly #onSnapshotProgress: () => void;
  readonly #outbound: Outbound;
  readonly #doorway: Doorway;
  readonly #connections = new Set<Connection>();
  #state: "new" | "starting" | "running" | "stopping" | "stopped" = "new";
  #listeners: Listeners | null = null;
  #authorize: (token: string) => boolean = () => false;
  #startedAt = 0;
  #stopped: Promise<void> | null = null;

  /** Throws INVALID_ARGUMENT for an option that is none, or has no such value. */
  constructor(options: ServerOptions & ServerParts = {}) {
    const { logger, clock, engine, onSnapshotProgress, ...rest } = options;
    this.options = resolveOptions(rest);
    this.#logger = logger ?? SILENT;
    this.#clock = clock ?? SYSTEM_CLOCK;
    this.#onSnapshotProgress = onSnapshotProgress ?? (() => {});
    this.broker = new Broker({
      engine: engine ?? new MemoryEngine(),
      clock: this.#clock,
      limits: brokerLimits(this.options),
      publisher: this.#publisher(),
      failed: (what, error) =>
        this.#logger.error(`${what}: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`),
    });
    this.#outbound = new Outbound(this.options.maxMemory / 4, (bytes) => this.broker.charge(bytes));
    this.#doorway = new Doorway(this.broker.timers, this.options.maxConnections, MAX_UNOPENED);
  }

  /** The port it listens on; 0 before `start`. */
  get port(): number {
    return this.#listeners?.port ?? 0;
  }

  get host(): string {
    return this.#listeners?.host ?? this.options.host;
  }

  /** The addresses it listens on, for example `["127.0.0.1", "::1"]`. */
  get addresses(): readonly string[] {
    return this.#listeners?.addresses ?? [];
  }

  get connections(): number {
    return this.#connections.size;
  }

  get uptimeMs(): number {
    return this.#state === "new" ? 0 : this.#clock.now() - this.#startedAt;
  }

  /**
   * Listens, on the options' host and port where none are given; port 0 takes a free one. Throws
   * ALREADY_EXISTS if the port is taken, FAILED_PRECONDITION for a bind beyond loopback without a token,
   * DATA_LOSS if the snapshot is damaged.
   */
  async start(host = this.options.host, port = this.options.port): Promise<void> {
    if (this.#state !== "new") throw new TinyMQError("FAILED_PRECONDITION", "a server starts once: make a new one");
    this.#state = "starting";
    try {
      const token = readToken(this.options);
      checkBind(host, token, this.options.noAuth);
      this.#authorize = tokenChecker(token);
      const { snapshot } = this.options;
      const restored = snapshot === "" ? null : await readSnapshot(this.broker, snapshot);
      this.#listeners = this.#listen(host, port);
      // In the same turn in which the port was bound: no stream can have opened.
      if (restored !== null) {
        retireSnapshot(snapshot);
        this.#logger.info(`restored ${restored} messages from ${snapshot}`);
      }
    } catch (error) {
      this.#state = "stopped";
      await this.broker.close();
      throw error;
    }
    this.#startedAt = this.#clock.now();
    this.#state = "running";
    this.#logger.info(`listening on ${this.addresses.map((address) => `${address}:${this.port}`).join(" and ")}`);
  }

  /** Ends all streams with 1012, gives the port back, and frees everything. May be called twice. */
  stop(): Promise<void> {
    this.#stopped ??= this.#stop();
    return this.#stopped;
  }

  /** Stops, for `await using`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  async #stop(): Promise<void> {
    const wasRunning = this.#state === "running";
    this.#state = "stopping";
    if (wasRunning) {
      this.#logger.info("stopping");
      this.#listeners?.refuse();
      for (const connection of this.#connections) connection.session.stop(CLOSE_RESTART, "the server stops");
      await this.#clientsGone();
      await this.#listeners?.close();
    }
    try {
      if (wasRunning) await this.#snapshot();
    } finally {
      await this.broker.close();
      this.#state = "stopped";
    }
    if (wasRunning) this.#logger.info("stopped");
  }

  async #snapshot(): Promise<void> {
    const { snapshot } = this.options;
    if (snapshot === "") return;
    const bytes = await writeSnapshot(this.broker, snapshot, this.#onSnapshotProgress);
    this.#logger.info(`wrote ${snapshot}: ${formatSize(bytes)}`);
  }

  /** Resolves when all connections are closed, or after the time of grace. */
  async #clientsGone(): Promise<void> {
    const until = performance.now() + CLOSE_GRACE_MS;
    while (this.#connections.size > 0 && performance.now() < until) {
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }

  #listen(host: string, port: number): Listeners {
    const context = this.#context();
    const server = this;
    return listen<ConnectionData>(host, port, {
      tls: this.#tls(),
      fetch: (request, listener) =>
        handleRequest(
          {
            admin: this,
            doorway: this.#doorway,
            allowOrigin: this.options.allowOrigin,
            authorize: this.#authorize,
            get stopping() {
              return server.#state !== "running";
            },
          },
          request,
          listener,
        ),
      websocket: {
        ...connectionHandlers({ context, doorway: this.#doorway, connections: this.#connections }),
        maxPayloadLength: this.#maxFrameBytes + SOCKET_SLACK_BYTES,
        backpressureLimit: Math.max(MiB, this.#maxFrameBytes),
        // Bun resets its own timeout by what we send, so the protocol has its own heartbeat.
        idleTimeout: 0,
        sendPings: false,
        perMessageDeflate: false,
      },
    });
  }

  get #maxFrameBytes(): number {
    return this.options.maxMessageSize + BATCH_SLACK_BYTES + FRAME_SLACK_BYTES;
  }

  #tls(): { cert: ReturnType<typeof Bun.file>; key: ReturnType<typeof Bun.file> } | undefined {
    const { tlsCert, tlsKey } = this.options;
    if (tlsCert === "" && tlsKey === "") return undefined;
    if (tlsCert === "" || tlsKey === "") {
      throw new TinyMQError("INVALID_ARGUMENT", "tls-cert and tls-key are given together, or not at all");
    }
    return { cert: Bun.file(tlsCert), key: Bun.file(tlsKey) };
  }

  #publisher() {
    const frames = new FrameWriter();
    const utf8 = new TextEncoder();
    return {
      publish: (topic: string, epoch: string, published: number, count: number, batch: Uint8Array) => {
        const frame = frames.published(utf8.encode(epoch), published, count, batch);
        this.#listeners?.publish(topic, frame);
        this.#outbound.published(frame.length);
      },
    };
  }

  #context(): SessionContext {
    const { heartbeat, maxMessageSize } = this.options;
    const limiter = new LogLimiter(this.#clock, (line) => this.#logger.warn(line));
    const deadAfterMs = heartbeat * DEAD_AFTER_HEARTBEATS;
    return {
      broker: this.broker,
      outbound: this.#outbound,
      frames: new FrameWriter(),
      heartbeatMs: heartbeat,
      deadAfterMs,
      limits: {
        maxMessageBytes: maxMessageSize,
        maxFrameBytes: this.#maxFrameBytes,
        maxBatchMessages: MAX_BATCH_MESSAGES,
        maxInFlight: 0,
        heartbeatMs: heartbeat,
        deadAfterMs,
      },
      authorize: (token) => this.#authorize(token),
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
