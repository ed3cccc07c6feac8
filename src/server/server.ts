/**
 * The server: one port for WebSockets, unary calls and health checks, on one address or on both loopback addresses.
 *
 * States: `new`, `starting`, `running`, `stopping`, `stopped`. A server runs once.
 */

import { TinyMQError } from "../errors.ts";
import type { Principal } from "../session/principal.ts";
import { type Clock, SYSTEM_CLOCK } from "../wire/clock.ts";
import { BATCH_SLACK_BYTES, FRAME_SLACK_BYTES, KiB, MiB } from "../wire/limits.ts";
import { formatSize } from "../wire/units.ts";
import { checkBind } from "./auth/origin.ts";
import { authenticator, readToken, tokenFileWarnings } from "./auth/token.ts";
import type { ConnectionData, ConnectionHandlers } from "./bun-socket.ts";
import type { Core } from "./core.ts";
import { type HttpHost, handleRequest } from "./http.ts";
import { type Listeners, listen, readTls } from "./listen.ts";
import { LogLimiter } from "./log-limiter.ts";
import { type Logger, SILENT, stackOf } from "./logger.ts";
import type { ServerParts } from "./parts.ts";
import { type ResolvedOptions, resolveOptions, type ServerOptions } from "./server-options.ts";

/** The socket's limit is larger than ours by this much, so that most oversized frames get our own error. */
const SOCKET_SLACK_BYTES = 64 * KiB;

/**
 * One server in this process. It runs once: `start()`, then `stop()`.
 *
 * @example
 * await using server = new TinyMQServer({ port: 0, maxMemory: "64MiB" });
 * await server.start();
 * console.log(server.port);
 */
export class TinyMQServer {
  /** The options, checked: bytes and ms as numbers, defaults filled in. */
  readonly options: ResolvedOptions;
  readonly #parts: ServerParts;
  readonly #logger: Logger;
  readonly #clock: Clock;
  /** Logs requests that the Host and Origin rules refuse. */
  readonly #refusals: LogLimiter;
  #state: "new" | "starting" | "running" | "stopping" | "stopped" = "new";
  #core: Core | null = null;
  #loading: Promise<Core> | null = null;
  #listeners: Listeners | null = null;
  #authenticate: (token: string) => Principal | null = () => null;
  #startedAt = 0;
  #starting: Promise<void> | null = null;
  #stopped: Promise<void> | null = null;
  /** Lets other servers use the snapshot file. */
  #giveUpSnapshot = () => {};

  /** Throws INVALID_ARGUMENT for an unknown option or an invalid value. Reads no environment variables. */
  constructor(options: ServerOptions & ServerParts = {}) {
    if (typeof options !== "object" || options === null || Array.isArray(options))
      throw new TinyMQError("INVALID_ARGUMENT", "a server's options must be an object such as { port: 0 }");
    const { logger, clock, onSnapshotProgress, ...rest } = options;
    this.options = resolveOptions(rest);
    this.#parts = { onSnapshotProgress };
    this.#logger = logger ?? SILENT;
    this.#clock = clock ?? SYSTEM_CLOCK;
    this.#refusals = new LogLimiter(this.#clock, (line) => this.#logger.warn(line));
  }

  /** The port it listens on; 0 before `start()`. */
  get port(): number {
    return this.#listeners?.port ?? 0;
  }

  /** The host it was told to listen on. */
  get host(): string {
    return this.#listeners?.host ?? this.options.host;
  }

  /** The addresses it listens on, for example `["127.0.0.1", "::1"]`. */
  get addresses(): readonly string[] {
    return this.#listeners?.addresses ?? [];
  }

  /**
   * Starts listening, by default on the options' host and port; port 0 picks a free one. Throws ALREADY_EXISTS if the
   * port is in use, PERMISSION_DENIED if it is not permitted, INVALID_ARGUMENT for an address or a token or certificate
   * file that cannot be used, DATA_LOSS if the snapshot is damaged, CANCELLED if `stop()` comes first, and
   * FAILED_PRECONDITION for an address beyond loopback without a token, a snapshot file that cannot be used, or a second
   * start.
   */
  async start(host = this.options.host, port = this.options.port): Promise<void> {
    if (this.#state !== "new")
      throw new TinyMQError("FAILED_PRECONDITION", "a server can be started only once: create a new one");
    this.#state = "starting";
    this.#starting = this.#start(host, port);
    await this.#starting;
  }

  /**
   * Ends all streams with 1012, frees the port, writes the snapshot if one is configured, and releases everything.
   * Can be called twice, and at any time: a start in progress is cancelled. Rejects if the snapshot could not be
   * written.
   */
  stop(): Promise<void> {
    this.#stopped ??= this.#stop();
    return this.#stopped;
  }

  /** Stops, for `await using`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  async #start(host: string, port: number): Promise<void> {
    try {
      const { tokenFile, snapshot } = this.options;
      const token = tokenFile === "" ? this.options.token : readToken(tokenFile);
      for (const warning of tokenFileWarnings(tokenFile)) this.#logger.warn(warning);
      checkBind(host, token, this.options.noAuth);
      this.#authenticate = authenticator(token);
      this.#startedAt = this.#clock.now();
      // With nothing to restore, the server listens by the time `start` returns its promise.
      if (snapshot === "") this.#run(host, port);
      else await this.#restoreAndRun(host, port, snapshot);
    } catch (error) {
      await this.#listeners?.close();
      this.#listeners = null;
      this.#core?.broker.close();
      this.#giveUpSnapshot();
      this.#state = "stopped";
      throw error;
    }
  }

  /** Listens, and is running from then on. `bound` is called in the same turn, before any stream can open. */
  #run(host: string, port: number, bound: () => void = () => {}): void {
    this.#listeners = this.#listen(host, port);
    bound();
    this.#state = "running";
    this.#loadSoon();
    this.#logger.info(
      `listening on ${this.addresses.map((address) => `${address}:${this.port}`).join(" and ")}`,
    );
  }

  async #restoreAndRun(host: string, port: number, path: string): Promise<void> {
    const { broker } = await this.#load();
    const { claimSnapshot, preparePath, readSnapshot, retireSnapshot } = await import("./snapshot-file.ts");
    this.#requireStarting();
    this.#giveUpSnapshot = await claimSnapshot(path);
    this.#requireStarting();
    preparePath(path);
    const restored = await readSnapshot(broker, path, () => this.#requireStarting());
    this.#requireStarting();
    if (restored === null) return this.#run(host, port);
    this.#run(host, port, () => retireSnapshot(path));
    this.#logger.info(`restored ${restored} messages from ${path}`);
  }

  /** Throws CANCELLED once `stop` was called. */
  #requireStarting(): void {
    if (this.#state === "starting") return;
    throw new TinyMQError("CANCELLED", "the server was stopped while it started");
  }

  async #stop(): Promise<void> {
    const before = this.#state;
    this.#state = "stopping";
    try {
      // The caller of `start` gets its error.
      if (before === "starting") await Promise.allSettled([this.#starting]);
      if (before === "running") await this.#end();
    } finally {
      this.#giveUpSnapshot();
      this.#state = "stopped";
    }
  }

  async #end(): Promise<void> {
    this.#logger.info("stopping");
    this.#listeners?.refuse();
    let core: Core | null;
    try {
      core = await this.#loading;
      await core?.closeStreams();
    } finally {
      await this.#listeners?.close();
    }
    try {
      if (core !== null) await this.#writeSnapshot(core);
    } finally {
      core?.broker.close();
    }
    this.#logger.info("stopped");
  }

  /**
   * Loads the core in a later turn, so that the start does not wait for it. Not only on demand: an upgrade may
   * replace the package's files under a running server.
   */
  #loadSoon(): void {
    setTimeout(() => {
      if (this.#state !== "running") return;
      this.#load().catch((error) => this.#logger.error(`loading failed: ${String(error)}`));
    }, 0);
  }

  /** The core; the first call loads it. */
  #load(): Promise<Core> {
    this.#loading ??= import("./core.ts").then((module) => {
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

  async #writeSnapshot(core: Core): Promise<void> {
    const { snapshot } = this.options;
    if (snapshot === "") return;
    const { writeSnapshot } = await import("./snapshot-file.ts");
    const bytes = writeSnapshot(core.broker, snapshot, this.#parts.onSnapshotProgress ?? (() => {}));
    this.#logger.info(`wrote ${snapshot}: ${formatSize(bytes)}`);
  }

  #httpHost(): HttpHost {
    const server = this;
    return {
      get core() {
        return server.#core;
      },
      get stopping() {
        return server.#state !== "running" && server.#state !== "starting";
      },
      loadCore: () => this.#load(),
      allowOrigin: this.options.allowOrigin,
      authenticate: this.#authenticate,
      refused: (why) => this.#refusals.log(why),
    };
  }

  #listen(host: string, port: number): Listeners {
    const handlers = (): ConnectionHandlers => this.#core!.handlers;
    const http = this.#httpHost();
    return listen<ConnectionData>(host, port, {
      tls: readTls(this.options.tlsCert, this.options.tlsKey),
      fetch: (request, listener) => handleRequest(http, request, listener),
      failed: (error) => this.#logger.error(`a request failed: ${stackOf(error)}`),
      websocket: {
        // The core is loaded before any handshake is completed.
        open: (socket) => handlers().open(socket),
        message: (socket, message) => handlers().message(socket, message),
        drain: (socket) => handlers().drain(socket),
        ping: (socket) => handlers().ping(socket),
        pong: (socket) => handlers().pong(socket),
        close: (socket, code) => handlers().close(socket, code),
        maxPayloadLength: this.#maxFrameBytes + SOCKET_SLACK_BYTES,
        backpressureLimit: Math.max(MiB, this.#maxFrameBytes),
        // What we send resets Bun's idle timeout too, so the protocol has its own heartbeats.
        idleTimeout: 0,
        sendPings: false,
        perMessageDeflate: false,
      },
    });
  }

  get #maxFrameBytes(): number {
    return this.options.maxMessageSize + BATCH_SLACK_BYTES + FRAME_SLACK_BYTES;
  }
}
