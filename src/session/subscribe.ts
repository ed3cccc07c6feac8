/**
 * The server's side of `TinyMQ.Subscribe`. Published frames do not pass through here: see `OutboundBuffers`. Frames
 * for a slow subscriber are dropped, and it learns from the running counts how many messages it missed.
 */
import type { Topic } from "../broker/topic.ts";
import { TinyMQError } from "../errors.ts";
import { SubscribeRequest, SubscribeResponse } from "../gen/tinymq/v1/queue.ts";
import { authorize, decodeFrame, requireOpen } from "./open.ts";
import type { Rpc, StreamSession } from "./stream-session.ts";

export function openSubscribe(stream: StreamSession, firstFrame: Uint8Array): Rpc {
  const open = requireOpen(decodeFrame(SubscribeRequest, firstFrame).kind);
  authorize(stream.context, open.token, "subscribe", open.topic);
  return new SubscribeRpc(stream, stream.context.broker.openTopic(open.topic));
}

class SubscribeRpc implements Rpc {
  readonly #stream: StreamSession;
  readonly #topic: Topic;

  constructor(stream: StreamSession, topic: Topic) {
    this.#stream = stream;
    this.#topic = topic;
    topic.subscribers += 1;
    topic.changed();
    const { context } = stream;
    stream.subscribe(topic.name);
    this.#send({
      oneofKind: "opened",
      opened: {
        instance: context.broker.instance,
        limits: { ...context.limits, maxInFlight: 0 },
        epoch: topic.epoch,
        published: topic.published,
      },
    });
  }

  frame(frame: Uint8Array): void {
    const { kind } = decodeFrame(SubscribeRequest, frame);
    if (kind.oneofKind === "heartbeat") return;
    if (kind.oneofKind === "finish") {
      this.#stream.finish();
      return;
    }
    throw new TinyMQError(
      "INVALID_ARGUMENT",
      "a subscriber may send heartbeats and a finish frame, and nothing else",
    );
  }

  /** Sends the running count, so that a subscriber learns what it missed even if nothing more is published. */
  heartbeat(): void {
    this.#send({ oneofKind: "count", count: { epoch: this.#topic.epoch, published: this.#topic.published } });
  }

  drained(): void {
    // Frames may have been dropped in the meantime; the count tells how many messages.
    this.heartbeat();
  }

  end(): void {
    this.#topic.subscribers -= 1;
    this.#topic.changed();
  }

  #send(kind: SubscribeResponse["kind"]): void {
    this.#stream.send(SubscribeResponse.toBinary({ kind }));
  }
}
