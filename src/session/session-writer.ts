/**
 * Sends the frames of one session.
 *
 * Always holds: a session whose socket buffers is blocked until the socket has drained, and the buffered bytes are
 * charged; a dropped frame ends the session, unless it was a published one.
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
  /** The client has not yet read everything that it was sent. */
  blocked = false;
  /** When a frame was last sent, by the broker's clock; published frames do not count. */
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

  /** Sends a delivery; `parts` are views of the topic's memory. */
  deliver(head: DeliveredHead, parts: readonly Uint8Array[], byteLength: number): void {
    const frames: FrameWriter = this.#context.frames;
    if (!this.#ended) this.#sent(frames.delivered(head, parts, byteLength, this.#socket));
  }

  /** Sends a published frame. If it is dropped, the running count tells the subscriber. */
  offer(frame: Uint8Array): void {
    if (!this.#ended) this.#socket.send(frame);
  }

  /** Measures the buffer again, and returns whether it is empty. */
  drained(): boolean {
    this.blocked = this.#socket.bufferedBytes > 0;
    this.#context.outboundBuffers.update(this);
    return !this.blocked;
  }

  fail(error: TinyMQError): void {
    this.#fail(error);
  }

  /** Sends nothing from now on, and gives back what was charged. */
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
