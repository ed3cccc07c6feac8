/** The server's side of `TinyMQ.Produce`: checks frames, passes batches to the broker, sends its answers. */

import type { TopicProducer } from "../broker/inbound/topic-producer.ts";
import type { BatchOptions, ProducerPort, Refusal } from "../broker/ports.ts";
import type { Topic } from "../broker/topic.ts";
import { CODE_NUMBERS, TinyMQError } from "../errors.ts";
import {
  Delivery,
  type ProduceBatch,
  type ProduceOpen,
  ProduceRequest,
  ProduceResponse,
} from "../gen/tinymq/v1/queue.ts";
import { toHex } from "../wire/bytes.ts";
import { readProduceBatch } from "../wire/frames.ts";
import { MAX_BATCHES_IN_FLIGHT } from "../wire/limits.ts";
import { authorize, decodeFrame, requireCount, requireId, requireOpen } from "./open.ts";
import type { Rpc, StreamEnd, StreamSession } from "./stream-session.ts";

const HEARTBEAT = ProduceResponse.toBinary({ kind: { oneofKind: "heartbeat", heartbeat: {} } });

export function openProduce(stream: StreamSession, firstFrame: Uint8Array): Rpc {
  const open = requireOpen(decodeFrame(ProduceRequest, firstFrame).kind);
  authorize(stream.context, open.token, "produce", open.topic);
  const id = requireId(open.producerId, "producer_id");
  // proto3 leaves out 0: the client is a new producer.
  const firstSeq = Math.max(1, requireCount(open.firstSeq, "first_seq"));
  if (open.delivery !== Delivery.QUEUE && open.delivery !== Delivery.BROADCAST) {
    throw new TinyMQError("UNIMPLEMENTED", `unknown delivery ${open.delivery}`);
  }
  const rpc = new ProduceRpc(stream);
  const broadcast = open.delivery === Delivery.BROADCAST;
  const { broker } = stream.context;
  const hasPast = open.instance === broker.instance;
  const opening = { id: toHex(id), firstSeq, broadcast, hasPast };
  const { topic, producer, known } = broker.openProducer(open.topic, opening, rpc);
  rpc.opened(topic, producer, known, open);
  return rpc;
}

class ProduceRpc implements Rpc, ProducerPort {
  readonly #stream: StreamSession;
  #topic: Topic | null = null;
  #producer: TopicProducer | null = null;

  constructor(stream: StreamSession) {
    this.#stream = stream;
  }

  opened(topic: Topic, producer: TopicProducer, known: boolean, open: ProduceOpen): void {
    this.#topic = topic;
    this.#producer = producer;
    const { context } = this.#stream;
    this.#send({
      oneofKind: "opened",
      opened: {
        instance: context.broker.instance,
        limits: { ...context.limits, maxInFlight: MAX_BATCHES_IN_FLIGHT },
        known,
        lastSeq: known ? producer.answeredSeq : Math.max(0, open.firstSeq - 1),
      },
    });
  }

  frame(frame: Uint8Array): void {
    const batch = readProduceBatch(frame);
    if (batch !== null) {
      this.#produce(batch);
      return;
    }
    const { kind } = decodeFrame(ProduceRequest, frame);
    switch (kind.oneofKind) {
      case "batch":
        this.#produce(kind.batch);
        return;
      case "finish":
        this.#stream.finish();
        return;
      case "heartbeat":
        return;
      case "open":
        throw new TinyMQError("INVALID_ARGUMENT", "a second open frame");
      default:
        throw new TinyMQError("INVALID_ARGUMENT", "a frame of unknown kind");
    }
  }

  acked(seq: number): void {
    this.#stream.send(this.#stream.context.frames.acked(seq));
  }

  rejected(seq: number, { code, message, messages }: Refusal): void {
    this.#send({
      oneofKind: "rejected",
      rejected: { seq, code: CODE_NUMBERS[code], message, messages: [...messages] },
    });
  }

  close(error: TinyMQError): void {
    this.#producer = null;
    this.#stream.fail(error);
  }

  heartbeat(): void {
    this.#stream.send(HEARTBEAT);
  }

  drained(): void {
    // Answers are sent at once; none waits for room.
  }

  end(how: StreamEnd): void {
    if (this.#producer !== null) this.#topic?.producers.close(this.#producer, this, how === "closed");
    this.#producer = null;
  }

  #produce(batch: ProduceBatch): void {
    const options: BatchOptions = batch;
    requireCount(batch.seq, "seq");
    requireCount(batch.delayMs, "delay_ms");
    requireCount(batch.ttlMs, "ttl_ms");
    requireCount(batch.uniqueMs, "unique_ms");
    this.#producer?.produce(batch.seq, batch.messages, options);
  }

  #send(kind: ProduceResponse["kind"]): void {
    this.#stream.send(ProduceResponse.toBinary({ kind }));
  }
}
