/**
 * One stream from its open frame to its end: the handshake, the heartbeats of both ends, the end.
 *
 * Always holds: `ended` is called exactly once, and nothing is called after it. One timer a stream.
 */
import type { DuplexStreamingCall } from "@protobuf-ts/runtime-rpc";
import { TinyMQError, toTinyMQError } from "../errors.ts";
import type { Clock } from "../wire/clock.ts";
import { DEAD_AFTER_HEARTBEATS, HEARTBEAT_MS } from "../wire/limits.ts";

/**
 * A stream on which nothing came for too long gets this much more, in ms: when our own program was busy,
 * the frames may be waiting in the socket, and they are read before a timer of this length fires.
 */
const LAST_CHANCE_MS = 50;
/** How long the closing handshake may take, in ms, before the socket is dropped. */
const CLOSE_LIMIT_MS = 2_000;

/** The times that the server announces, in ms. 0 stands for the default. */
export interface StreamTimes {
  readonly heartbeatMs: number;
  readonly deadAfterMs: number;
}

/** Who uses the stream. `message` and `opened` may throw: the stream then ends with that error. */
export interface StreamUser<O> {
  /** The server's first frame, which opens the stream. */
  opened(response: O): StreamTimes;
  /** Every later frame. */
  message(response: O): void;
  /** The end; `wasOpen` tells whether `opened` was called and returned. */
  ended(error: TinyMQError, wasOpen: boolean): void;
}

/** What the stream sends by itself. */
export interface StreamFrames<I> {
  readonly open: I;
  readonly heartbeat: I;
}

export class Stream<I extends object, O extends object> {
  readonly #call: DuplexStreamingCall<I, O>;
  readonly #abort: AbortController;
  readonly #frames: StreamFrames<I>;
  readonly #user: StreamUser<O>;
  readonly #clock: Clock;
  readonly #onEnd: (() => void)[] = [];
  #state: "connecting" | "open" | "closing" | "ended" = "connecting";
  #wasOpen = false;
  #times: StreamTimes = { heartbeatMs: HEARTBEAT_MS, deadAfterMs: HEARTBEAT_MS * DEAD_AFTER_HEARTBEATS };
  #cancelTimer: () => void;
  #lastChance = false;
  /** By the clock, when the last frame went out and came in. */
  #sentAt: number;
  #receivedAt: number;

  /** `start` makes the call; its `abort` option must be the signal it is given. */
  constructor(
    start: (signal: AbortSignal) => DuplexStreamingCall<I, O>,
    frames: StreamFrames<I>,
    user: StreamUser<O>,
    clock: Clock,
    openLimitMs: number,
  ) {
    this.#frames = frames;
    this.#user = user;
    this.#clock = clock;
    this.#sentAt = clock.now();
    this.#receivedAt = this.#sentAt;
    this.#abort = new AbortController();
    this.#call = start(this.#abort.signal);
    this.#call.responses.onNext((message, error) => this.#next(message, error));
    // A handshake that fails is told by `responses`.
    this.#call.headers.then(
      () => this.#sendOpen(),
      () => {},
    );
    const tooLong = () =>
      this.abort(
        new TinyMQError("UNAVAILABLE", `the server did not open the stream within ${openLimitMs} ms`),
      );
    this.#cancelTimer = clock.after(openLimitMs, tooLong);
  }

  /** Sends one request. MUST be called only while the stream is open; what it says is lost if it just ended. */
  send(request: I): void {
    this.#sentAt = this.#clock.now();
    // It rejects only when the stream has ended, which `ended` tells; our transport marks that as handled.
    void this.#call.requests.send(request);
  }

  /** Closes well. Resolves when the server agreed, or after a time limit. */
  close(): Promise<void> {
    if (this.#state === "ended") return Promise.resolve();
    const ended = new Promise<void>((resolve) => this.#onEnd.push(resolve));
    if (this.#state !== "closing") {
      this.#state = "closing";
      this.#cancelTimer();
      const hung = new TinyMQError("UNAVAILABLE", "the server did not answer the closing handshake");
      this.#cancelTimer = this.#clock.after(CLOSE_LIMIT_MS, () => this.abort(hung));
      void this.#call.requests.complete();
    }
    return ended;
  }

  /** Drops the connection; `ended` is called with `error` before this returns. */
  abort(error: TinyMQError): void {
    if (this.#state === "ended") return;
    this.#abort.abort(error);
    this.#finish(error);
  }

  #sendOpen(): void {
    if (this.#state === "connecting") this.send(this.#frames.open);
  }

  #next(message: O | undefined, error: Error | undefined): void {
    if (this.#state === "ended") return;
    if (message === undefined) {
      this.#finish(
        error === undefined
          ? new TinyMQError("UNAVAILABLE", "the server ended the stream (close code 1000)")
          : toTinyMQError(error),
      );
      return;
    }
    this.#receivedAt = this.#clock.now();
    this.#lastChance = false;
    try {
      if (this.#state === "open") this.#user.message(message);
      else if (this.#state === "connecting") this.#opened(message);
    } catch (thrown) {
      this.abort(toTinyMQError(thrown));
    }
  }

  #opened(response: O): void {
    // Before the user hears of it, so that it may send at once.
    this.#state = "open";
    const times = this.#user.opened(response);
    this.#wasOpen = true;
    const heartbeatMs = times.heartbeatMs || HEARTBEAT_MS;
    this.#times = { heartbeatMs, deadAfterMs: times.deadAfterMs || heartbeatMs * DEAD_AFTER_HEARTBEATS };
    this.#cancelTimer();
    if (this.#state === "open") this.#watch();
  }

  /** Does what is due, and sets the timer for what is due next. */
  readonly #watch = (): void => {
    const now = this.#clock.now();
    const deadAt = this.#receivedAt + this.#times.deadAfterMs;
    if (now >= deadAt && this.#lastChance) {
      const silent = Math.round(now - this.#receivedAt);
      this.abort(new TinyMQError("UNAVAILABLE", `nothing came from the server for ${silent} ms`));
      return;
    }
    this.#lastChance = now >= deadAt;
    if (now >= this.#sentAt + this.#times.heartbeatMs) this.send(this.#frames.heartbeat);
    const next = Math.min(deadAt, this.#sentAt + this.#times.heartbeatMs);
    const waitMs = this.#lastChance ? LAST_CHANCE_MS : Math.max(1, next - now);
    this.#cancelTimer = this.#clock.after(waitMs, this.#watch);
  };

  #finish(error: TinyMQError): void {
    // Aborting the call has told of the end already.
    if (this.#state === "ended") return;
    this.#state = "ended";
    this.#cancelTimer();
    this.#user.ended(error, this.#wasOpen);
    for (const resolve of this.#onEnd) resolve();
  }
}
