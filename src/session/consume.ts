/** The server's side of `TinyMQ.Consume`: checks frames, drives the broker's consumer, sends its deliveries. */
import type { ConsumerMode, Outcome, TopicConsumer } from "../broker/outbound/topic-consumer.ts";
import type { ConsumerPort, Delivery } from "../broker/ports.ts";
import type { Timer } from "../broker/timers.ts";
import { TinyMQError } from "../errors.ts";
import {
  ConsumeMode,
  ConsumeRequest,
  ConsumeResponse,
  type Pull,
  type Rewind,
  type Settle,
  Outcome as WireOutcome,
} from "../gen/tinymq/v1/queue.ts";
import {
  KiB,
  LONGEST_HOLD_MS,
  MAX_BATCH_MESSAGES,
  MAX_PULLS_IN_FLIGHT,
  MAX_REASON_BYTES,
} from "../wire/limits.ts";
import { truncateUtf8 } from "../wire/text.ts";
import { authorize, decodeFrame, requireCount, requireId, requireOpen } from "./open.ts";
import type { Rpc, StreamEnd, StreamSession } from "./stream-session.ts";

/** Limits of a pull that names none. */
const DEFAULT_MESSAGES = 1_024;
const DEFAULT_BYTES = 256 * KiB;

/** Everything settled within this time is confirmed by one `settled` frame. */
const TELL_SETTLED_MS = 5;

const HEARTBEAT = ConsumeResponse.toBinary({ kind: { oneofKind: "heartbeat", heartbeat: {} } });
const PROMOTED = ConsumeResponse.toBinary({ kind: { oneofKind: "promoted", promoted: {} } });

const MODES: Record<ConsumeMode, ConsumerMode> = {
  [ConsumeMode.EXCLUSIVE]: "exclusive",
  [ConsumeMode.STANDBY]: "standby",
  [ConsumeMode.SHARED]: "shared",
};
const OUTCOMES: Record<WireOutcome, Outcome> = {
  [WireOutcome.DONE]: "done",
  [WireOutcome.RETRY]: "retry",
  [WireOutcome.REJECT]: "reject",
};

export function openConsume(stream: StreamSession, firstFrame: Uint8Array): Rpc {
  const open = requireOpen(decodeFrame(ConsumeRequest, firstFrame).kind);
  authorize(stream.context, open.token, "consume", open.topic);
  const id = requireId(open.consumerId, "consumer_id");
  const mode = MODES[open.mode];
  if (mode === undefined) throw new TinyMQError("UNIMPLEMENTED", `unknown mode ${open.mode}`);
  const rpc = new ConsumeRpc(stream);
  rpc.opened(stream.context.broker.openConsumer(open.topic, id, mode, rpc));
  return rpc;
}

class ConsumeRpc implements Rpc, ConsumerPort {
  readonly #stream: StreamSession;
  #consumer: TopicConsumer | null = null;
  /** The count in the last `settled` frame. */
  #toldSettled = 0;
  #telling: Timer | null = null;
  /** Maximum bytes of messages in a delivery, so that its frame keeps to the announced limit. */
  readonly #maxBytes: number;

  constructor(stream: StreamSession) {
    this.#stream = stream;
    this.#maxBytes = stream.context.limits.maxFrameBytes - KiB;
  }

  get writable(): boolean {
    return this.#stream.writable;
  }

  opened(consumer: TopicConsumer): void {
    this.#consumer = consumer;
    const { context } = this.#stream;
    this.#send({
      oneofKind: "opened",
      opened: {
        instance: context.broker.instance,
        limits: { ...context.limits, maxInFlight: MAX_PULLS_IN_FLIGHT },
        holder: consumer.active,
      },
    });
  }

  frame(frame: Uint8Array): void {
    const consumer = this.#consumer;
    if (consumer === null) return;
    const { kind } = decodeFrame(ConsumeRequest, frame);
    this.#carryOut(consumer, kind);
    this.#tellSettledSoon(consumer);
  }

  #carryOut(consumer: TopicConsumer, kind: ConsumeRequest["kind"]): void {
    switch (kind.oneofKind) {
      case "pull":
        this.#pull(consumer, kind.pull);
        return;
      case "ack":
        consumer.ack(requireCount(kind.ack.count, "ack.count"));
        return;
      case "settle":
        this.#settle(consumer, kind.settle);
        return;
      case "rewind":
        this.#rewind(consumer, kind.rewind);
        return;
      case "handed":
        consumer.handed(requireCount(kind.handed.count, "handed.count"));
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

  deliver(pullId: number, firstPosition: number, delivery: Delivery): void {
    const head = { pullId, firstPosition, runs: delivery.runs };
    this.#stream.deliver(head, delivery.parts, delivery.byteLength);
  }

  empty(pullId: number): void {
    this.#send({ oneofKind: "empty", empty: { pullId } });
  }

  promoted(): void {
    this.#stream.send(PROMOTED);
  }

  close(error: TinyMQError): void {
    this.#stream.fail(error);
  }

  heartbeat(): void {
    this.#stream.send(HEARTBEAT);
  }

  drained(): void {
    this.#consumer?.resumed();
  }

  end(how: StreamEnd): void {
    const consumer = this.#consumer;
    this.#consumer = null;
    this.#stream.context.broker.timers.cancel(this.#telling);
    // Only a lost stream counts a delivery: a server that stops is not the message's fault.
    consumer?.close(how !== "lost");
  }

  #pull(consumer: TopicConsumer, pull: Pull): void {
    requireCount(pull.pullId, "pull_id");
    requireCount(pull.waitMs, "wait_ms");
    if (pull.handed !== undefined) consumer.handed(requireCount(pull.handed.count, "handed.count"));
    if (pull.ack !== undefined) consumer.ack(requireCount(pull.ack.count, "ack.count"));
    for (const settle of pull.settles) this.#settle(consumer, settle);
    consumer.pull(
      pull.pullId,
      // Bounded, since each run of messages costs time.
      Math.min(MAX_BATCH_MESSAGES, pull.maxMessages === 0 ? DEFAULT_MESSAGES : pull.maxMessages),
      Math.min(this.#maxBytes, pull.maxBytes === 0 ? DEFAULT_BYTES : pull.maxBytes),
      pull.waitMs,
    );
  }

  #settle(consumer: TopicConsumer, settle: Settle): void {
    requireCount(settle.position, "settle.position");
    requireCount(
      settle.position + requireCount(settle.count, "settle.count"),
      "settle.position + settle.count",
    );
    const outcome = OUTCOMES[settle.outcome];
    if (outcome === undefined) throw new TinyMQError("INVALID_ARGUMENT", `unknown outcome ${settle.outcome}`);
    const delayMs = requireCount(settle.delayMs, "settle.delay_ms");
    consumer.settle(
      settle.position,
      settle.count,
      outcome,
      truncateUtf8(settle.reason, MAX_REASON_BYTES),
      delayMs,
    );
  }

  #rewind(consumer: TopicConsumer, rewind: Rewind): void {
    const position = requireCount(rewind.position, "rewind.position");
    if (consumer.mode === "shared" && rewind.delayMs > 0) {
      throw new TinyMQError(
        "FAILED_PRECONDITION",
        "a shared consumer cannot rewind with a delay: settle the message as RETRY with a delay",
      );
    }
    const delayMs = requireCount(rewind.delayMs, "rewind.delay_ms");
    if (delayMs > LONGEST_HOLD_MS) {
      throw new TinyMQError(
        "INVALID_ARGUMENT",
        `rewind.delay_ms is ${delayMs}, but holds back the whole topic, so the limit is 24 h (${LONGEST_HOLD_MS})`,
      );
    }
    consumer.rewind(position, truncateUtf8(rewind.reason, MAX_REASON_BYTES), delayMs);
    this.#send({ oneofKind: "rewound", rewound: { position } });
    consumer.pump();
  }

  /** Schedules a `settled` frame, unless one is scheduled or there is nothing to confirm. */
  #tellSettledSoon(consumer: TopicConsumer): void {
    if (this.#telling !== null || consumer.settled === this.#toldSettled) return;
    this.#telling = this.#stream.context.broker.timers.after(TELL_SETTLED_MS, () => {
      this.#telling = null;
      this.#toldSettled = consumer.settled;
      this.#send({ oneofKind: "settled", settled: { count: consumer.settled } });
    });
  }

  #send(kind: ConsumeResponse["kind"]): void {
    this.#stream.send(ConsumeResponse.toBinary({ kind }));
  }
}
