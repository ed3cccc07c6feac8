/**
 * The server's end of one v1 stream: what every RPC has in common. The first frame opens it; heartbeats go
 * both ways; errors become close codes; and what it used is given back exactly once, when it ends.
 */

import type { Timer } from "../broker/timers.ts";
import { type Code, TinyMQError, toTinyMQError } from "../errors.ts";
import { closeCodeOf, closeReason, isCleanClose } from "../wire/close.ts";
import type { DeliveredHead } from "../wire/frames.ts";
import { type MaybePromise, settle } from "../wire/maybe-promise.ts";
import type { SessionContext } from "./context.ts";
import type { FrameSocket, Session } from "./frame-socket.ts";

/** One RPC of a stream, made by its open frame. */
export interface Rpc {
  /** One more frame. Throws to end the stream. */
  frame(frame: Uint8Array): void;
  /** Sends the heartbeat of this RPC's output type. */
  heartbeat(): void;
  /** The client reads again. */
  drained(): void;
  end(how: StreamEnd): void;
}

/** How a stream ends: its client closed it on purpose, it was lost or failed, or the server stops. */
export type StreamEnd = "closed" | "lost" | "stopped";

/** Opens an RPC from its first frame; it has sent `opened` when it resolves. Throws to refuse. */
export type OpenRpc = (stream: Stream, firstFrame: Uint8Array) => MaybePromise<Rpc>;

/** Ends that an operator wants to know of, at a bounded rate. */
const MISBEHAVIOUR: ReadonlySet<Code> = new Set<Code>([
  "INVALID_ARGUMENT",
  "OUT_OF_RANGE",
  "RESOURCE_EXHAUSTED",
  "UNAUTHENTICATED",
]);

/** Frames a client may send before an engine has answered its open frame. */
const MAX_EARLY_FRAMES = 64;

export class Stream implements Session {
  readonly context: SessionContext;
  readonly socket: FrameSocket;
  readonly #open: OpenRpc;
  #rpc: Rpc | null = null;
  /** Frames that came while an engine was opening; null before the first frame and after the answer. */
  #early: Uint8Array[] | null = null;
  #ended = false;
  #lastSent: number;
  #lastReceived: number;
  #timer: Timer | null = null;
  #blocked = false;

  constructor(socket: FrameSocket, context: SessionContext, open: OpenRpc) {
    this.socket = socket;
    this.context = context;
    this.#open = open;
    this.#lastSent = context.broker.clock.now();
    this.#lastReceived = this.#lastSent;
  }

  get ended(): boolean {
    return this.#ended;
  }

  /** Whether the client reads what it is sent. */
  get writable(): boolean {
    return !this.#blocked && !this.#ended;
  }

  get bufferedBytes(): number {
    return this.socket.bufferedBytes;
  }

  /** Sends one frame. A client that lets more pile up than the server allows is closed. */
  send(frame: Uint8Array): void {
    if (this.#ended) return;
    this.#sent(this.socket.send(frame));
  }

  /** Sends a delivery, which lies in the topic's own memory. */
  deliver(head: DeliveredHead, parts: readonly Uint8Array[], byteLength: number): void {
    if (this.#ended) return;
    this.#sent(this.context.frames.delivered(head, parts, byteLength, this.socket));
  }

  #sent(sent: number): void {
    this.#lastSent = this.context.broker.clock.now();
    if (sent > 0) return;
    if (sent === 0) {
      this.fail(new TinyMQError("RESOURCE_EXHAUSTED", "you do not read: a frame could not be buffered"));
      return;
    }
    this.#blocked = true;
    this.context.outbound.update(this);
  }

  message(frame: Uint8Array): void {
    if (this.#ended) return;
    this.#lastReceived = this.context.broker.clock.now();
    try {
      if (frame.length > this.context.limits.maxFrameBytes)
        throw tooLarge(frame, this.context.limits.maxFrameBytes);
      if (this.#rpc !== null) this.#rpc.frame(frame);
      else if (this.#early === null) this.#start(frame);
      else this.#keepEarly(frame);
    } catch (error) {
      this.fail(toTinyMQError(error));
    }
  }

  text(): void {
    this.fail(new TinyMQError("INVALID_ARGUMENT", "a text frame: tinyMQ speaks binary frames only"));
  }

  drained(): void {
    this.#blocked = this.socket.bufferedBytes > 0;
    this.context.outbound.update(this);
    if (!this.#blocked) this.#rpc?.drained();
  }

  pong(): void {
    this.#lastReceived = this.context.broker.clock.now();
  }

  closed(code: number): void {
    this.#release(isCleanClose(code) ? "closed" : "lost");
  }

  stop(code: number, reason: string): void {
    if (this.#ended) return;
    this.#release("stopped");
    this.socket.close(code, closeReason(reason));
  }

  /** Ends the stream with an error that its client is told. */
  fail(error: TinyMQError): void {
    if (this.#ended) return;
    if (error.code === "INTERNAL") this.context.broker.failed("a stream failed", error);
    else if (MISBEHAVIOUR.has(error.code)) this.context.misbehaved(error.message);
    this.#release("lost");
    this.socket.close(closeCodeOf(error.code), closeReason(error.message));
  }

  #start(firstFrame: Uint8Array): void {
    this.#early = [];
    settle(
      () => this.#open(this, firstFrame),
      (rpc) => this.#started(rpc),
      (error) => this.fail(toTinyMQError(error)),
    );
  }

  #started(rpc: Rpc): void {
    if (this.#ended) {
      // It ended while an engine was opening.
      rpc.end("lost");
      return;
    }
    this.#rpc = rpc;
    this.socket.opened();
    this.#beat();
    const early = this.#early ?? [];
    this.#early = null;
    for (const frame of early) this.message(frame);
  }

  #keepEarly(frame: Uint8Array): void {
    const early = this.#early!;
    if (early.length >= MAX_EARLY_FRAMES) {
      throw new TinyMQError("RESOURCE_EXHAUSTED", "too many frames before the stream was opened");
    }
    early.push(frame.slice());
  }

  /** Sends a heartbeat where nothing was sent lately, and gives up where nothing was heard. */
  #beat(): void {
    if (this.#ended) return;
    const { broker, heartbeatMs, deadAfterMs } = this.context;
    const now = broker.clock.now();
    if (now - this.#lastReceived >= deadAfterMs) {
      this.fail(
        new TinyMQError("UNAVAILABLE", `nothing was heard from you for ${Math.round(deadAfterMs / 1000)} s`),
      );
      this.socket.terminate();
      return;
    }
    if (now - this.#lastSent >= heartbeatMs) this.#rpc?.heartbeat();
    const due = Math.min(this.#lastSent + heartbeatMs, this.#lastReceived + deadAfterMs);
    this.#timer = broker.timers.at(Math.max(due, now + 1), () => this.#beat());
  }

  #release(how: StreamEnd): void {
    if (this.#ended) return;
    this.#ended = true;
    this.context.broker.timers.cancel(this.#timer);
    this.context.outbound.forget(this);
    this.#rpc?.end(how);
    this.#rpc = null;
  }
}

function tooLarge(frame: Uint8Array, limit: number): TinyMQError {
  return new TinyMQError("OUT_OF_RANGE", `a frame of ${frame.length} bytes; the limit is ${limit}`);
}
