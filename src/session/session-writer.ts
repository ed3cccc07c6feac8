/**
 * What one session sends. Every send's result is looked at: a socket that buffers blocks the session until it
 * has drained, and is charged; a frame that was dropped ends the session.
 */
import { TinyMQError } from "../errors.ts";
import type { DeliveredHead, FrameWriter } from "../wire/frames.ts";
import type { SessionContext } from "./context.ts";
import type { FrameSocket } from "./frame-socket.ts";
import type { Subscribing } from "./outbound-buffers.ts";

export class SessionWriter implements Subscribing {
  readonly #socket: FrameSocket;
  readonly #context: SessionContext;
  readonly #fail: (error: TinyMQError) => void;
  /** The client has not read what it was sent. */
  blocked = false;
  /** By the broker's clock. */
  lastSent: number;
  #ended = false;

  /** `fail` ends the session. */
  constructor(socket: FrameSocket, context: SessionContext, fail: (error: TinyMQError) => void) {
    this.#socket = socket;
    this.#context = context;
    this.#fail = fail;
    this.lastSent = context.broker.clock.now();
  }

  get bufferedBytes(): number {
    return this.#socket.bufferedBytes;
  }

  send(frame: Uint8Array): void {
    if (!this.#ended) this.#sent(this.#socket.send(frame));
  }

  /** Sends a delivery, which lies in the topic's own memory. */
  deliver(head: DeliveredHead, parts: readonly Uint8Array[], byteLength: number): void {
    const frames: FrameWriter = this.#context.frames;
    if (!this.#ended) this.#sent(frames.delivered(head, parts, byteLength, this.#socket));
  }

  /** Sends a published frame. One that finds no room is missed, and the running count tells that. */
  offer(frame: Uint8Array): void {
    if (!this.#ended) this.#socket.send(frame);
  }

  /** Takes note that what waits has changed without a frame of ours; whether nothing waits any more. */
  drained(): boolean {
    this.blocked = this.#socket.bufferedBytes > 0;
    this.#context.outboundBuffers.update(this);
    return !this.blocked;
  }

  fail(error: TinyMQError): void {
    this.#fail(error);
  }

  /** Nothing is sent any more, and nothing is charged. */
  end(): void {
    this.#ended = true;
    this.#context.outboundBuffers.forget(this);
  }

  #sent(sent: number): void {
    this.lastSent = this.#context.broker.clock.now();
    if (sent > 0) return;
    if (sent === 0) {
      this.fail(new TinyMQError("RESOURCE_EXHAUSTED", "slow consumer: a frame could not be buffered"));
      return;
    }
    this.blocked = true;
    this.#context.outboundBuffers.update(this);
  }
}
