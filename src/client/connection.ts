/**
 * A connection across all of its streams: opening, reconnecting, closing.
 *
 * Always holds: at most one stream at a time; `owner.ended` is called at most once, and last.
 */
import { DeadConnectionUsed, TinyMQError, toTinyMQError } from "../errors.ts";
import type { Limits } from "../gen/tinymq/v1/queue.ts";
import { onAbort } from "./abort-signals.ts";
import { cancelledError, deadConnection, initError, isPassing } from "./close-error.ts";
import type { ConnectionState } from "./options.ts";
import { delayBefore } from "./reconnect.ts";
import type { ConnectionSettings } from "./settings.ts";
import { Stream } from "./stream.ts";

/** The user of a connection. `opened` and `receive` may throw: the stream then ends with that error. */
export interface ConnectionOwner {
  readonly method: "Produce" | "Consume" | "Subscribe";
  readonly heartbeat: Uint8Array<ArrayBuffer>;
  /** The last frame of a stream that is closed cleanly. */
  readonly finish: Uint8Array<ArrayBuffer>;
  /** The open frame of the next stream. */
  openFrame(): Uint8Array<ArrayBuffer>;
  /** The server's first frame on each stream. The owner may send at once. */
  opened(frame: Uint8Array): { limits: Limits | undefined; state: "open" | "standby" };
  receive(frame: Uint8Array): void;
  /** The client is about to close the open stream: the last chance to send. */
  leaving?(): void;
  /** The stream is lost; another will be opened. */
  interrupted?(): void;
  /** The connection is dead: pending calls reject with `error`. Not called by `close()`. */
  ended(error: TinyMQError): void;
}

export class Connection {
  readonly #settings: ConnectionSettings;
  readonly #owner: ConnectionOwner;
  readonly #onAbort = () => this.#end(cancelledError(this.#settings.signal, this.#lastFailure), undefined);
  #forgetSignal = () => {};
  #state: ConnectionState = "idle";
  #stream: Stream | undefined;
  /** Why it is dead; undefined if `close()` closed it. */
  #error: TinyMQError | undefined;
  /** Why it is not open: of the last attempt, or of the last stream. Undefined once it is open. */
  #lastFailure: TinyMQError | undefined;
  /** Failed attempts in a row. */
  #failures = 0;
  #openedAt = 0;
  #wait: { cancelTimer: () => void; done: () => void } | undefined;
  #closing: Promise<void> | undefined;
  #wasAnswered = false;

  constructor(settings: ConnectionSettings, owner: ConnectionOwner) {
    this.#settings = settings;
    this.#owner = owner;
  }

  get state(): ConnectionState {
    return this.#state;
  }

  /** Whether frames can be sent now. */
  get isOpen(): boolean {
    return this.#state === "open" || this.#state === "standby";
  }

  /** Whether it was closed by `close()` and not by an error. */
  get isClosedWell(): boolean {
    return this.#state === "closed" && this.#error === undefined;
  }

  /** What a call throws if the connection cannot be used now; undefined if it can. */
  get trouble(): TinyMQError | undefined {
    if (this.#state === "closed") return deadConnection(this.#error, this.#lastFailure);
    if (this.isOpen || this.#state === "reconnecting") return undefined;
    return new DeadConnectionUsed("not connected: await initConn() first");
  }

  /**
   * Connects. Throws `ConnectionRefusedError`, `InitFailed`, `Unauthenticated` or `InvalidTopic`, and may
   * then be called again.
   */
  async init(): Promise<void> {
    if (this.#state === "closed") throw this.trouble;
    if (this.#state !== "idle") throw new TinyMQError("FAILED_PRECONDITION", "initConn() was called before");
    const { signal, reconnect } = this.#settings;
    if (signal?.aborted) this.#die(cancelledError(signal));
    else this.#setState("connecting");
    if (signal !== undefined) this.#forgetSignal = onAbort(signal, this.#onAbort);
    while (this.#is("connecting")) {
      const error = await this.#attempt();
      if (error === undefined || !this.#is("connecting")) break;
      if (reconnect?.initial && isPassing(error)) {
        this.#setState("connecting", error);
        if ((await this.#backOff()) || !this.#is("connecting")) continue;
      }
      this.#release();
      this.#failures = 0;
      this.#setState("idle", error);
      throw initError(error);
    }
    // It may have opened, been lost, and be reconnecting already: that is not a failure.
    if (this.#is("closed")) throw this.trouble;
  }

  /** Sends one frame. MUST be called only while `isOpen`. */
  send(frame: Uint8Array<ArrayBuffer>): void {
    this.#stream?.send(frame);
  }

  /** A standby holds the lock now. */
  promoted(): void {
    if (this.#state === "standby") this.#setState("open");
  }

  /** Ends the connection for good with `error`; the close frame is sent in the background. */
  fail(error: TinyMQError): void {
    this.#end(error, error);
  }

  /** Closes the connection cleanly. Can be called twice; always finishes, within the stream's time limit. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  /** Whether `close()` is done, and the server has received everything that was sent before it. */
  get wasAnswered(): boolean {
    return this.#wasAnswered;
  }

  async #close(): Promise<void> {
    if (this.#state === "closed") return;
    const stream = this.#leave();
    this.#setState("closed");
    this.#release();
    await stream?.close();
    this.#wasAnswered = stream?.closedWell ?? false;
  }

  /** `error` is for the program, `told` for the server; undefined: the server sees a clean end. */
  #end(error: TinyMQError, told: TinyMQError | undefined): void {
    if (this.#state === "closed") return;
    const stream = this.#leave();
    this.#die(error);
    // With a closing handshake, so that the server receives what was sent before.
    if (stream !== undefined) void stream.close(told);
  }

  #leave(): Stream | undefined {
    if (this.isOpen) this.#owner.leaving?.();
    const stream = this.#stream;
    this.#stream = undefined;
    return stream;
  }

  /** Opens one stream; resolves with the error if it could not be opened. */
  #attempt(): Promise<TinyMQError | undefined> {
    return new Promise((resolve) => {
      try {
        this.#stream = this.#open(resolve);
      } catch (thrown) {
        // A malformed address, for example.
        resolve(toTinyMQError(thrown));
      }
    });
  }

  #open(settled: (error: TinyMQError | undefined) => void): Stream {
    const owner = this.#owner;
    const stream: Stream = new Stream(
      this.#settings,
      `/tinymq.v1.TinyMQ/${owner.method}`,
      {
        openFrame: owner.openFrame(),
        heartbeat: owner.heartbeat,
        finish: owner.finish,
        opened: (frame) => {
          const limits = this.#opened(frame);
          settled(undefined);
          return limits;
        },
        receive: (frame) => owner.receive(frame),
        ended: (error, wasOpen) => {
          if (this.#stream !== stream) return settled(error);
          this.#stream = undefined;
          if (wasOpen) this.#lost(error);
          else settled(error);
        },
      },
      this.#settings.clock,
      this.#settings.connectTimeoutMs,
    );
    return stream;
  }

  #opened(frame: Uint8Array): Limits | undefined {
    this.#openedAt = this.#settings.clock.now();
    const before = this.#state;
    // Set first, so that the owner may send what is waiting.
    this.#state = "open";
    try {
      const { limits, state } = this.#owner.opened(frame);
      this.#setState(state);
      return limits;
    } catch (thrown) {
      this.#state = before;
      throw thrown;
    }
  }

  #lost(error: TinyMQError): void {
    const { reconnect, clock } = this.#settings;
    if (reconnect === undefined || reconnect.attempts === 0 || !isPassing(error)) return this.#die(error);
    // A stream that the server ends soon after it opened does not count as a success.
    if (clock.now() - this.#openedAt >= reconnect.maxDelay) this.#failures = 0;
    this.#owner.interrupted?.();
    this.#setState("reconnecting", error);
    this.#reconnect(error).catch((thrown) => this.fail(toTinyMQError(thrown)));
  }

  async #reconnect(lost: TinyMQError): Promise<void> {
    let error: TinyMQError | undefined = lost;
    while (error !== undefined && this.#is("reconnecting")) {
      if (!isPassing(error) || !(await this.#backOff())) break;
      error = await this.#attempt();
    }
    if (error !== undefined && this.#is("reconnecting")) this.#die(error);
  }

  /** Waits before the next attempt; false if there will be none. */
  async #backOff(): Promise<boolean> {
    const { reconnect, clock, random } = this.#settings;
    if (reconnect === undefined || this.#failures >= reconnect.attempts) return false;
    const delay = delayBefore(reconnect, this.#failures, random());
    this.#failures += 1;
    await new Promise<void>((done) => {
      this.#wait = { cancelTimer: clock.after(delay, done), done };
    });
    this.#wait = undefined;
    return this.#state !== "closed";
  }

  #die(error: TinyMQError): void {
    if (this.#state === "closed") return;
    this.#error = error;
    this.#setState("closed", error);
    this.#release();
    this.#owner.ended(error);
  }

  #release(): void {
    this.#forgetSignal();
    if (this.#wait === undefined) return;
    this.#wait.cancelTimer();
    this.#wait.done();
  }

  /** A method, since the compiler assumes that a field keeps the value it was compared with. */
  #is(state: ConnectionState): boolean {
    return this.#state === state;
  }

  #setState(state: ConnectionState, error?: TinyMQError): void {
    this.#state = state;
    // What was known before `close()` is kept.
    if (error !== undefined || this.isOpen) this.#lastFailure = error;
    const listener = this.#settings.onStateChange;
    // In a microtask: what a listener throws is then an uncaught error of the program, and changes nothing here.
    if (listener !== undefined) queueMicrotask(() => listener(state, error));
  }
}
