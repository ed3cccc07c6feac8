/**
 * The server's end of one v1 stream: what every RPC has in common. The first frame opens it; heartbeats go
 * both ways; errors become close codes; and what it used is given back exactly once, when it ends.
 */

import type { Timer } from "../broker/timers.ts";
import { type Code, TinyMQError, toTinyMQError } from "../errors.ts";
import { closeCodeOf, closeReason } from "../wire/close.ts";
import type { DeliveredHead } from "../wire/frames.ts";
import type { SessionContext } from "./context.ts";
import type { FrameSocket, Session } from "./frame-socket.ts";
import { SessionWriter } from "./session-writer.ts";

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

/** How a stream ends: its client finished it, it was lost or failed, or the server stops. */
export type StreamEnd = "closed" | "lost" | "stopped";

/** Opens an RPC from its first frame, and sends `opened`. Throws to refuse. */
export type OpenRpc = (stream: StreamSession, firstFrame: Uint8Array) => Rpc;

/** Ends that an operator wants to know of, at a bounded rate. */
const MISBEHAVIOUR: ReadonlySet<Code> = new Set<Code>([
  "INVALID_ARGUMENT",
  "OUT_OF_RANGE",
  "RESOURCE_EXHAUSTED",
  "UNAUTHENTICATED",
]);

export class StreamSession implements Session {
  readonly context: SessionContext;
  readonly socket: FrameSocket;
  readonly #open: OpenRpc;
  #rpc: Rpc | null = null;
  readonly #writer: SessionWriter;
  #finished = false;
  #ended = false;
  #lastReceived: number;
  #timer: Timer | null = null;

  constructor(socket: FrameSocket, context: SessionContext, open: OpenRpc) {
    this.socket = socket;
    this.context = context;
    this.#open = open;
    this.#writer = new SessionWriter(socket, context, (error) => this.fail(error));
    this.#lastReceived = this.#writer.lastSent;
  }

  /** Whether the client reads what it is sent. */
  get writable(): boolean {
    return !this.#writer.blocked && !this.#ended;
  }

  /** Sends one frame. */
  send(frame: Uint8Array): void {
    this.#writer.send(frame);
  }

  /** Sends a delivery, which lies in the topic's own memory. */
  deliver(head: DeliveredHead, parts: readonly Uint8Array[], byteLength: number): void {
    this.#writer.deliver(head, parts, byteLength);
  }

  /** What is published reaches this client from now on. */
  subscribe(topic: string): void {
    this.context.outboundBuffers.addSubscriber(topic, this.#writer);
    this.socket.subscribe(topic);
  }

  message(frame: Uint8Array): void {
    if (this.#ended) return;
    this.#lastReceived = this.context.broker.clock.now();
    try {
      if (this.#finished) throw new TinyMQError("INVALID_ARGUMENT", "a frame came behind the finish frame");
      if (this.#rpc !== null) this.#rpc.frame(frame);
      else this.#start(frame);
    } catch (error) {
      this.fail(toTinyMQError(error));
    }
  }

  text(): void {
    this.fail(new TinyMQError("INVALID_ARGUMENT", "a text frame: tinyMQ speaks binary frames only"));
  }

  drained(): void {
    if (this.#writer.drained()) this.#rpc?.drained();
  }

  pong(): void {
    this.#lastReceived = this.context.broker.clock.now();
  }

  /** The client means to end the stream: nothing else comes from it, and its end is a clean one. */
  finish(): void {
    this.#finished = true;
  }

  closed(): void {
    // Not by the close code, which can be invented on the way.
    this.#release(this.#finished ? "closed" : "lost");
  }

  stop(code: number, reason: string): void {
    if (this.#ended) return;
    this.#release("stopped");
    this.socket.close(code, closeReason(reason));
  }

  /** Ends the stream with an error that its client is told. */
  fail(error: TinyMQError): void {
    if (this.#ended) return;
    if (error.code === "INTERNAL") this.context.failed("a stream failed", error);
    else if (MISBEHAVIOUR.has(error.code)) this.context.misbehaved(error.message);
    this.#release("lost");
    this.socket.close(closeCodeOf(error.code), closeReason(error.message));
  }

  #start(firstFrame: Uint8Array): void {
    const rpc = this.#open(this, firstFrame);
    if (this.#ended) {
      // The answer to its open frame could not be sent.
      rpc.end("lost");
      return;
    }
    this.#rpc = rpc;
    this.socket.opened();
    this.#beat();
  }

  /** Sends a heartbeat where nothing was sent lately, and gives up where nothing was heard. */
  #beat(): void {
    if (this.#ended) return;
    const { broker, heartbeatMs, deadAfterMs } = this.context;
    const now = broker.clock.now();
    if (now - this.#lastReceived >= deadAfterMs) {
      this.fail(
        new TinyMQError(
          "UNAVAILABLE",
          `no frame came from the client for ${Math.round(deadAfterMs / 1000)} s`,
        ),
      );
      this.socket.terminate();
      return;
    }
    if (now - this.#writer.lastSent >= heartbeatMs) this.#rpc?.heartbeat();
    const due = Math.min(this.#writer.lastSent + heartbeatMs, this.#lastReceived + deadAfterMs);
    this.#timer = broker.timers.at(Math.max(due, now + 1), () => this.#beat());
  }

  #release(how: StreamEnd): void {
    if (this.#ended) return;
    this.#ended = true;
    this.context.broker.timers.cancel(this.#timer);
    this.#writer.end();
    this.#rpc?.end(how);
    this.#rpc = null;
  }
}
