/**
 * The server's end of a v1 stream, as far as all RPCs have it in common: the open frame, heartbeats, errors as close
 * codes, the end. Always holds: what a stream used is given back exactly once, when it ends.
 */

import type { Timer } from "../broker/timers.ts";
import { TinyMQError, toTinyMQError } from "../errors.ts";
import { closeCodeOf, closeReason } from "../wire/close.ts";
import type { DeliveredHead } from "../wire/frames.ts";
import { logEnd, type SessionContext } from "./context.ts";
import type { FrameSocket, Session } from "./frame-socket.ts";
import { SessionWriter } from "./session-writer.ts";

/** The RPC of a stream, created from its open frame. */
export interface Rpc {
  /** Handles any frame after the first. Throws to end the stream. */
  frame(frame: Uint8Array): void;
  /** Sends this RPC's heartbeat frame. */
  heartbeat(): void;
  /** The client has caught up: nothing is buffered any more. */
  drained(): void;
  end(how: StreamEnd): void;
}

/** How a stream ends: its client finished it, it was lost or failed, or the server stops. */
export type StreamEnd = "closed" | "lost" | "stopped";

/** Opens an RPC from its first frame, and sends `opened`. Throws to refuse. */
export type OpenRpc = (stream: StreamSession, firstFrame: Uint8Array) => Rpc;

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

  /** Whether the client keeps up: nothing is buffered. */
  get writable(): boolean {
    return !this.#writer.blocked && !this.#ended;
  }

  send(frame: Uint8Array): void {
    this.#writer.send(frame);
  }

  /** Sends a delivery; `parts` are views of the topic's memory. */
  deliver(head: DeliveredHead, parts: readonly Uint8Array[], byteLength: number): void {
    this.#writer.deliver(head, parts, byteLength);
  }

  /** Subscribes the client to what is published on a topic. */
  subscribe(topic: string): void {
    this.context.outboundBuffers.addSubscriber(topic, this.#writer);
    this.socket.subscribe(topic);
  }

  message(frame: Uint8Array): void {
    if (this.#ended) return;
    this.#lastReceived = this.context.broker.clock.now();
    try {
      if (this.#finished) throw new TinyMQError("INVALID_ARGUMENT", "a frame came after the finish frame");
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

  /** The client has announced the end: it may send nothing more, and the end is a clean one. */
  finish(): void {
    this.#finished = true;
  }

  closed(): void {
    // The close code does not decide: an intermediary may have made it up.
    this.#release(this.#finished ? "closed" : "lost");
  }

  stop(code: number, reason: string): void {
    if (this.#ended) return;
    this.#release("stopped");
    this.socket.close(code, closeReason(reason));
  }

  /** Ends the stream with an error, which goes into the close frame. */
  fail(error: TinyMQError): void {
    if (this.#ended) return;
    logEnd(this.context, error);
    this.#release("lost");
    this.socket.close(closeCodeOf(error.code), closeReason(error.message));
  }

  #start(firstFrame: Uint8Array): void {
    const rpc = this.#open(this, firstFrame);
    if (this.#ended) {
      // `opened` could not be sent.
      rpc.end("lost");
      return;
    }
    this.#rpc = rpc;
    this.socket.opened();
    this.#beat();
  }

  /** Sends a heartbeat if nothing was sent lately; ends the stream if nothing arrived for too long. */
  #beat(): void {
    if (this.#ended) return;
    const { broker, heartbeatMs, deadAfterMs } = this.context;
    const now = broker.clock.now();
    if (now - this.#lastReceived >= deadAfterMs) {
      this.fail(
        new TinyMQError(
          "UNAVAILABLE",
          `nothing came from the client for ${Math.round(deadAfterMs / 1000)} s`,
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
