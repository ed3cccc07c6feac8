/**
 * The server's side of `TinyMQ.Subscribe`. The runtime hands published frames to subscribers by itself; a
 * frame that a subscriber has no room for is missed, and the running counts tell it how many.
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
      "a subscriber sends heartbeats, a finish frame, and nothing else",
    );
  }

  /** Tells the count, so that a subscriber learns what it missed although nothing follows. */
  heartbeat(): void {
    this.#send({ oneofKind: "count", count: { epoch: this.#topic.epoch, published: this.#topic.published } });
  }

  drained(): void {
    // It may have missed frames while it did not read; the count says how many.
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
