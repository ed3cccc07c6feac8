/**
 * The server: one port for WebSockets, unary calls and health, on one address or on both loopbacks.
 *
 * States: `new`, `starting`, `running`, `stopping`, `stopped`. A server runs once.
 */

import { TinyMQError } from "../errors.ts";
import type { Principal } from "../session/principal.ts";
import { type Clock, SYSTEM_CLOCK } from "../wire/clock.ts";
import { BATCH_SLACK_BYTES, FRAME_SLACK_BYTES, KiB, MiB } from "../wire/limits.ts";
import { formatSize } from "../wire/units.ts";
import { checkBind } from "./auth/origin.ts";
import { authenticator, readToken } from "./auth/token.ts";
import type { ConnectionData, ConnectionHandlers } from "./bun-socket.ts";
import type { Core } from "./core.ts";
import { handleRequest } from "./http.ts";
import { loadCore, loadSnapshotFile } from "./later.ts";
import { type Listeners, listen } from "./listen.ts";
import { LogLimiter } from "./log-limiter.ts";
import { type Logger, SILENT, stackOf } from "./logger.ts";
import type { ServerParts } from "./parts.ts";
import { type ResolvedOptions, resolveOptions, type ServerOptions } from "./server-options.ts";

/** What the socket takes beyond our own limit, so that we and not it refuse what is larger. */
const SOCKET_SLACK_BYTES = 64 * KiB;

export class TinyMQServer {
  readonly options: ResolvedOptions;
  readonly #parts: ServerParts;
  readonly #logger: Logger;
  readonly #clock: Clock;
  /** Of what the Host and Origin rules refuse. */
  readonly #refusals: LogLimiter;
  #state: "new" | "starting" | "running" | "stopping" | "stopped" = "new";
  #core: Core | null = null;
  #loading: Promise<Core> | null = null;
  #listeners: Listeners | null = null;
  #authenticate: (token: string) => Principal | null = () => null;
  #startedAt = 0;
  #stopped: Promise<void> | null = null;

  /** Throws INVALID_ARGUMENT for an option that is none, or has no such value. */
  constructor(options: ServerOptions & ServerParts = {}) {
    const { logger, clock, onSnapshotProgress, ...rest } = options;
    this.options = resolveOptions(rest);
    this.#parts = { onSnapshotProgress };
    this.#logger = logger ?? SILENT;
    this.#clock = clock ?? SYSTEM_CLOCK;
    this.#refusals = new LogLimiter(this.#clock, (line) => this.#logger.warn(line));
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

  /**
   * Listens, on the options' host and port where none are given; port 0 takes a free one. Throws
   * ALREADY_EXISTS if the port is taken, FAILED_PRECONDITION for a bind beyond loopback without a token,
   * DATA_LOSS if the snapshot is damaged.
   */
  async start(host = this.options.host, port = this.options.port): Promise<void> {
    if (this.#state !== "new")
      throw new TinyMQError("FAILED_PRECONDITION", "a server starts once: make a new one");
    this.#state = "starting";
    try {
      const { tokenFile } = this.options;
      // No wait that need not be: see cli/serve.ts.
      const token = tokenFile === "" ? this.options.token : readToken(tokenFile);
      checkBind(host, token, this.options.noAuth);
      this.#authenticate = authenticator(token);
      this.#startedAt = this.#clock.now();
      if (this.options.snapshot === "") this.#listeners = this.#listen(host, port);
      else await this.#restoreAndListen(host, port, this.options.snapshot);
    } catch (error) {
      this.#state = "stopped";
      this.#core?.broker.close();
      throw error;
    }
    this.#state = "running";
    this.#loadSoon();
    this.#logger.info(
      `listening on ${this.addresses.map((address) => `${address}:${this.port}`).join(" and ")}`,
    );
  }

  /**
   * Ends all streams with 1012, writes the snapshot if there is to be one, gives the port back, and frees
   * everything. May be called twice.
   */
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
    if (!wasRunning) return;
    this.#logger.info("stopping");
    this.#listeners?.refuse();
    const core = await this.#loading;
    await core?.closeStreams();
    await this.#listeners?.close();
    try {
      if (core !== null) await this.#writeSnapshot(core);
    } finally {
      core?.broker.close();
      this.#state = "stopped";
    }
    this.#logger.info("stopped");
  }

  /**
   * Loads the core in a later turn: the start need not wait for it, and once it is here the files of the
   * package may be replaced by an upgrade.
   */
  #loadSoon(): void {
    setTimeout(() => {
      if (this.#state !== "running") return;
      this.#load().catch((error) => this.#logger.error(`loading failed: ${String(error)}`));
    }, 0);
  }

  /** The core; the first call loads it. */
  #load(): Promise<Core> {
    this.#loading ??= loadCore().then((module) => {
      this.#core = new module.Core({
        options: this.options,
        logger: this.#logger,
        clock: this.#clock,
        maxFrameBytes: this.#maxFrameBytes,
        authenticate: this.#authenticate,
        publish: (topic, frame) => this.#listeners?.publish(topic, frame),
        uptimeMs: () => this.#clock.now() - this.#startedAt,
      });
      return this.#core;
    });
    return this.#loading;
  }

  async #restoreAndListen(host: string, port: number, path: string): Promise<void> {
    const { broker } = await this.#load();
    const { checkWritable, readSnapshot, retireSnapshot } = await loadSnapshotFile();
    checkWritable(path);
    const restored = readSnapshot(broker, path);
    this.#listeners = this.#listen(host, port);
    if (restored === null) return;
    // In the same turn in which the port was bound: no stream can have opened.
    retireSnapshot(path);
    this.#logger.info(`restored ${restored} messages from ${path}`);
  }

  async #writeSnapshot(core: Core): Promise<void> {
    const { snapshot } = this.options;
    if (snapshot === "") return;
    const { writeSnapshot } = await loadSnapshotFile();
    const bytes = writeSnapshot(core.broker, snapshot, this.#parts.onSnapshotProgress ?? (() => {}));
    this.#logger.info(`wrote ${snapshot}: ${formatSize(bytes)}`);
  }

  #listen(host: string, port: number): Listeners {
    const handlers = (): ConnectionHandlers => this.#core!.handlers;
    const server = this;
    return listen<ConnectionData>(host, port, {
      tls: this.#tls(),
      fetch: (request, listener) =>
        handleRequest(
          {
            get core() {
              return server.#core;
            },
            loadCore: () => this.#load(),
            allowOrigin: this.options.allowOrigin,
            authenticate: this.#authenticate,
            refused: (why) => this.#refusals.log(why),
            get stopping() {
              return server.#state !== "running" && server.#state !== "starting";
            },
          },
          request,
          listener,
        ),
      failed: (error) => this.#logger.error(`a request failed: ${stackOf(error)}`),
      websocket: {
        // No WebSocket is there before the core was loaded for its handshake.
        open: (socket) => handlers().open(socket),
        message: (socket, message) => handlers().message(socket, message),
        drain: (socket) => handlers().drain(socket),
        ping: (socket) => handlers().ping(socket),
        pong: (socket) => handlers().pong(socket),
        close: (socket, code, reason) => handlers().close(socket, code, reason),
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
}
