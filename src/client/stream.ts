/**
 * One stream from its open frame to its end: opening, the heartbeats of both ends, closing. It does not decode
 * frames.
 *
 * Always holds: `ended` is called exactly once, and nothing is called after it. There is one timer per stream.
 */
import { TinyMQError } from "../errors.ts";
import type { Limits } from "../gen/tinymq/v1/queue.ts";
import type { Clock } from "../wire/clock.ts";
import { CLOSE_NORMAL } from "../wire/close.ts";
import { DEAD_AFTER_HEARTBEATS, HEARTBEAT_MS } from "../wire/limits.ts";
import { closeError } from "./close-error.ts";
import { FrameStream, type ServerAddress } from "./frame-stream.ts";

/**
 * Extra time, in ms, for a stream on which nothing arrived for too long: if our own program was busy, frames may be
 * waiting in the socket, and they are read before a timer of this length fires.
 */
const LAST_CHANCE_MS = 50;
/** How long the closing handshake may take, in ms, before the socket is dropped. */
const CLOSE_LIMIT_MS = 2_000;

/** Bounds, in ms, that the times which a server announces are clamped to. */
const LEAST_HEARTBEAT_MS = 50;
const LONGEST_HEARTBEAT_MS = 3_600_000;
const LONGEST_SILENCE_MS = 24 * 3_600_000;

/** The user of a stream. `opened` and `receive` may throw: the stream then ends with that error. */
export interface StreamUser {
  /** The first frame. */
  readonly openFrame: Uint8Array<ArrayBuffer>;
  /** Sent after a heartbeat interval in which nothing else was sent. */
  readonly heartbeat: Uint8Array<ArrayBuffer>;
  /** The last frame of a stream that is closed cleanly. */
  readonly finish: Uint8Array<ArrayBuffer>;
  /** The server's first frame, which opens the stream. Returns the limits in it. */
  opened(frame: Uint8Array): Limits | undefined;
  /** Every later frame. */
  receive(frame: Uint8Array): void;
  /** The end; `wasOpen` says whether `opened` was called and returned. */
  ended(error: TinyMQError, wasOpen: boolean): void;
}

export class Stream {
  readonly #frames: FrameStream;
  readonly #user: StreamUser;
  readonly #clock: Clock;
  readonly #onEnd: (() => void)[] = [];
  #state: "connecting" | "open" | "closing" | "ended" = "connecting";
  #wasOpen = false;
  #closedWell = false;
  /** The heartbeat interval, and how long the server may be silent; ms. */
  #heartbeatMs = HEARTBEAT_MS;
  #deadAfterMs = HEARTBEAT_MS * DEAD_AFTER_HEARTBEATS;
  #cancelTimer: () => void;
  #lastChance = false;
  /** When the last frame was sent and received, by the clock. */
  #sentAt: number;
  #receivedAt: number;

  /** Connects to `path` of the server. Throws if the address is malformed. */
  constructor(server: ServerAddress, path: string, user: StreamUser, clock: Clock, openLimitMs: number) {
    this.#user = user;
    this.#clock = clock;
    this.#sentAt = clock.now();
    this.#receivedAt = this.#sentAt;
    this.#frames = new FrameStream(server, path, {
      opened: () => {
        if (this.#state === "connecting") this.send(user.openFrame);
      },
      frame: (bytes) => this.#receive(bytes),
      ended: (error) => {
        this.#closedWell = error === undefined && this.#state === "closing";
        this.#ended(error ?? closeError(CLOSE_NORMAL, "", ""));
      },
    });
    this.#cancelTimer = clock.after(openLimitMs, () =>
      this.abort(
        new TinyMQError("UNAVAILABLE", `the server did not open the stream within ${openLimitMs} ms`),
      ),
    );
  }

  /** Sends one frame. MUST be called only while the stream is open; does nothing if it has just ended. */
  send(frame: Uint8Array<ArrayBuffer>): void {
    this.#sentAt = this.#clock.now();
    this.#frames.send(frame);
  }

  /**
   * Closes the stream: cleanly, after a finish frame, or with the close code of `error`. Resolves when the server has
   * answered, and so has received everything that was sent before, or after a time limit.
   */
  close(error?: TinyMQError): Promise<void> {
    if (this.#state === "ended") return Promise.resolve();
    const ended = new Promise<void>((resolve) => this.#onEnd.push(resolve));
    if (this.#state !== "closing") {
      this.#state = "closing";
      this.#cancelTimer();
      const hung = new TinyMQError("UNAVAILABLE", "the server did not answer the closing handshake");
      this.#cancelTimer = this.#clock.after(CLOSE_LIMIT_MS, () => this.abort(hung));
      if (error === undefined) this.#frames.send(this.#user.finish);
      this.#frames.close(error);
    }
    return ended;
  }

  /** Whether the server has answered `close()`, and so has received everything that was sent before. */
  get closedWell(): boolean {
    return this.#closedWell;
  }

  /** Drops the connection; `ended` is called with `error` before this returns. */
  abort(error: TinyMQError): void {
    this.#frames.abort(error);
  }

  #receive(frame: Uint8Array): void {
    this.#receivedAt = this.#clock.now();
    this.#lastChance = false;
    if (this.#state === "open") this.#user.receive(frame);
    else if (this.#state === "connecting") this.#opened(frame);
  }

  #opened(frame: Uint8Array): void {
    // Set first, so that the user may send at once.
    this.#state = "open";
    const limits = this.#user.opened(frame);
    this.#wasOpen = true;
    this.#heartbeatMs = within(limits?.heartbeatMs || HEARTBEAT_MS, LEAST_HEARTBEAT_MS, LONGEST_HEARTBEAT_MS);
    const deadAfterMs = limits?.deadAfterMs || this.#heartbeatMs * DEAD_AFTER_HEARTBEATS;
    this.#deadAfterMs = within(deadAfterMs, 2 * this.#heartbeatMs, LONGEST_SILENCE_MS);
    // The user may have closed it.
    if (this.#state !== "open") return;
    this.#cancelTimer();
    this.#watch();
  }

  /** Does what is due, and sets the timer for what is due next. */
  readonly #watch = (): void => {
    const now = this.#clock.now();
    const deadAt = this.#receivedAt + this.#deadAfterMs;
    if (now >= deadAt && this.#lastChance) {
      const silent = Math.round(now - this.#receivedAt);
      this.abort(new TinyMQError("UNAVAILABLE", `nothing came from the server for ${silent} ms`));
      return;
    }
    this.#lastChance = now >= deadAt;
    if (now >= this.#sentAt + this.#heartbeatMs) this.send(this.#user.heartbeat);
    const next = Math.min(deadAt, this.#sentAt + this.#heartbeatMs);
    const waitMs = this.#lastChance ? LAST_CHANCE_MS : Math.max(1, next - now);
    this.#cancelTimer = this.#clock.after(waitMs, this.#watch);
  };

  #ended(error: TinyMQError): void {
    this.#state = "ended";
    this.#cancelTimer();
    this.#user.ended(error, this.#wasOpen);
    for (const resolve of this.#onEnd) resolve();
  }
}

function within(value: number, least: number, most: number): number {
  return Math.min(most, Math.max(least, value));
}
