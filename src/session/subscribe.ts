/**
 * The server's side of `TinyMQ.Subscribe`. The runtime hands published frames to subscribers by itself; a
 * frame that a subscriber has no room for is missed, and the running counts tell it how many.
 */
import type { Topic } from "../broker/topic.ts";
import { TinyMQError } from "../errors.ts";
import { SubscribeRequest, SubscribeResponse } from "../gen/tinymq/v1/queue.ts";
import { chain, type MaybePromise } from "../wire/maybe-promise.ts";
import { decodeFrame, requireToken } from "./open.ts";
import type { Rpc, Stream } from "./stream-session.ts";

export function openSubscribe(stream: Stream, firstFrame: Uint8Array): MaybePromise<Rpc> {
  const { kind } = decodeFrame(SubscribeRequest, firstFrame);
  if (kind.oneofKind !== "open")
    throw new TinyMQError("INVALID_ARGUMENT", "the first frame must be an open frame");
  const { open } = kind;
  requireToken(stream.context, open.token);
  return chain(stream.context.broker.openTopic(open.topic), (topic) => new SubscribeRpc(stream, topic));
}

class SubscribeRpc implements Rpc {
  readonly #stream: Stream;
  readonly #topic: Topic;

  constructor(stream: Stream, topic: Topic) {
    this.#stream = stream;
    this.#topic = topic;
    topic.subscribers += 1;
    topic.keep();
    const { context } = stream;
    // Its stream may have ended while an engine opened the topic; `end` is called next then.
    if (stream.ended) return;
    context.outbound.addSubscriber(stream);
    stream.socket.subscribe(topic.name);
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
    throw new TinyMQError("INVALID_ARGUMENT", "a subscriber sends heartbeats and nothing else");
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
    this.#topic.checkIdle();
  }

  #send(kind: SubscribeResponse["kind"]): void {
    this.#stream.send(SubscribeResponse.toBinary({ kind }));
  }
}
