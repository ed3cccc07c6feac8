/** Producers and consumers that do whatever they like, with frames as the generated code encodes them. */
import {
  Batch,
  ConsumeRequest,
  ConsumeResponse,
  type Delivered,
  Outcome,
  ProduceRequest,
  ProduceResponse,
  type Pull,
  type Settle,
  SubscribeRequest,
} from "../../../src/gen/tinymq/v1/queue.ts";
import type { Arena } from "./arena.ts";
import { Stream } from "./stream.ts";

const NONE = new Uint8Array(0);
/** Batches without an answer that a producer has: fewer than it may. */
const IN_FLIGHT = 64;
/** In one frame: beside them it has a few fields. */
const MOST_SETTLES = 8_192 - 16;
export const EXCLUSIVE = 0;
export const SHARED = 2;
export { Outcome };

export interface Options {
  readonly delayMs?: number;
  readonly ttlMs?: number;
  readonly uniqueMs?: number;
}

/** An encoded batch of `count` messages with ids from `id` on, and bodies of `bytes` bytes. */
export function batchOf(id: number, count: number, bytes = 0): Uint8Array {
  const body = bytes === 0 ? NONE : new Uint8Array(bytes).fill(120);
  const messages = Array.from({ length: count }, (_, at) => ({ id: id + at, body, headers: {} }));
  return Batch.toBinary({ messages });
}

export class HostileProducer {
  readonly stream: Stream;
  #sent = 0;
  #answered = 0;
  readonly #counts = new Map<number, number>();
  /** Messages, as the server answered. */
  acknowledged = 0;
  rejected = 0;

  private constructor(stream: Stream) {
    this.stream = stream;
    stream.onFrame = (frame) => this.#take(frame);
  }

  static async open(arena: Arena, topic: string, producerId = NONE): Promise<HostileProducer> {
    const open = { topic, token: "", delivery: 0, producerId, firstSeq: 1, instance: "" };
    const frame = ProduceRequest.toBinary({ kind: { oneofKind: "open", open } });
    return new HostileProducer(await Stream.open(arena.port, "Produce", frame));
  }

  /** Sends a batch, as soon as it may. */
  async send(messages: Uint8Array, count: number, options: Options = {}): Promise<void> {
    if (this.#sent - this.#answered >= IN_FLIGHT) {
      await this.stream.until(() => this.#sent - this.#answered < IN_FLIGHT / 2);
    }
    const seq = ++this.#sent;
    this.#counts.set(seq, count);
    const batch = { seq, delayMs: 0, ttlMs: 0, uniqueMs: 0, ...options, messages };
    this.stream.send(ProduceRequest.toBinary({ kind: { oneofKind: "batch", batch } }));
  }

  /** Sends messages with ids from `id` on, as many in each batch; resolves with how many were acknowledged. */
  async fill(many: number, id = 0, options: Options = {}, perBatch = 8_192): Promise<number> {
    const before = this.acknowledged;
    for (let sent = 0; sent < many; sent += perBatch) {
      const count = Math.min(perBatch, many - sent);
      await this.send(batchOf(id + sent, count), count, options);
    }
    await this.answered();
    return this.acknowledged - before;
  }

  async answered(): Promise<void> {
    await this.stream.until(() => this.#answered === this.#sent);
  }

  #take(frame: Uint8Array): void {
    const { kind } = ProduceResponse.fromBinary(frame);
    if (kind.oneofKind === "acked") this.#ack(kind.acked.seq);
    if (kind.oneofKind !== "rejected") return;
    const { seq, messages } = kind.rejected;
    this.#ack(seq - 1);
    const count = this.#counts.get(seq) ?? 0;
    const refused = messages.length === 0 ? count : messages.reduce((sum, range) => sum + range.count, 0);
    this.#counts.delete(seq);
    this.#answered = seq;
    this.rejected += refused;
    this.acknowledged += count - refused;
  }

  #ack(seq: number): void {
    while (this.#answered < seq) {
      this.#answered += 1;
      this.acknowledged += this.#counts.get(this.#answered) ?? 0;
      this.#counts.delete(this.#answered);
    }
  }
}

export class HostileConsumer {
  readonly stream: Stream;
  /** Messages delivered on this stream: the next one's position. */
  delivered = 0;
  /** Pulls that were answered without a message, and rewinds that were answered. */
  empty = 0;
  rewound = 0;
  #pulls = 0;
  #answers = 0;
  onDelivered: ((delivered: Delivered) => void) | null = null;

  private constructor(stream: Stream) {
    this.stream = stream;
    stream.onFrame = (frame) => this.#take(frame);
  }

  static async open(arena: Arena, topic: string, mode = SHARED): Promise<HostileConsumer> {
    const open = { topic, token: "", mode, consumerId: NONE };
    const frame = ConsumeRequest.toBinary({ kind: { oneofKind: "open", open } });
    return new HostileConsumer(await Stream.open(arena.port, "Consume", frame));
  }

  get waiting(): number {
    return this.#pulls - this.#answers;
  }

  /** Asks for messages, and waits for nothing. */
  pull(maxMessages = 8_192, more: Partial<Pull> = {}): void {
    const pull = { pullId: ++this.#pulls, maxMessages, maxBytes: 0, waitMs: 0, settles: [], ...more };
    this.#send({ oneofKind: "pull", pull });
  }

  /** Pulls until it holds so many more, or there are none. Returns how many. */
  async lease(many: number, perPull = 8_192): Promise<number> {
    const begun = this.delivered;
    while (this.delivered - begun < many) {
      const before = this.delivered;
      const pulls = Math.min(16, Math.ceil((many - before + begun) / perPull));
      for (let each = 0; each < pulls; each++) this.pull(perPull);
      await this.answered();
      if (this.delivered === before) break;
    }
    return this.delivered - begun;
  }

  async answered(): Promise<void> {
    await this.stream.until(() => this.#answers === this.#pulls);
  }

  ack(count: number): void {
    this.#send({ oneofKind: "ack", ack: { count } });
  }

  settle(settle: Settle): void {
    this.#send({ oneofKind: "settle", settle });
  }

  /** Sends many settles, in as few frames as it may, and waits for the last answer. */
  async settleAll(settles: Settle[]): Promise<void> {
    for (let first = 0; first < settles.length; first += MOST_SETTLES) {
      this.pull(1, { settles: settles.slice(first, first + MOST_SETTLES), maxBytes: 1 });
    }
    await this.answered();
  }

  rewind(position: number, delayMs = 0): void {
    this.#send({ oneofKind: "rewind", rewind: { position, reason: "", delayMs } });
  }

  async rewindAnswered(): Promise<void> {
    const before = this.rewound;
    await this.stream.until(() => this.rewound > before);
  }

  #send(kind: ConsumeRequest["kind"]): void {
    this.stream.send(ConsumeRequest.toBinary({ kind }));
  }

  #take(frame: Uint8Array): void {
    const { kind } = ConsumeResponse.fromBinary(frame);
    if (kind.oneofKind === "rewound") this.rewound += 1;
    if (kind.oneofKind !== "delivered" && kind.oneofKind !== "empty") return;
    this.#answers += 1;
    if (kind.oneofKind === "empty") {
      this.empty += 1;
      return;
    }
    for (const run of kind.delivered.runs) this.delivered += run.count;
    this.onDelivered?.(kind.delivered);
  }
}

/** Takes all that a topic has, and returns how many different ids came. */
export async function drain(arena: Arena, topic: string): Promise<number> {
  const consumer = await HostileConsumer.open(arena, topic);
  const ids = new Set<number>();
  consumer.onDelivered = ({ messages }) => {
    for (const { id } of Batch.fromBinary(messages).messages) ids.add(id);
  };
  for (let empty = 0; empty < 3; ) {
    const before = consumer.delivered;
    consumer.pull(8_192, { waitMs: 500, ...(before > 0 ? { ack: { count: before } } : {}) });
    await consumer.answered();
    if (consumer.delivered === before) empty += 1;
  }
  consumer.stream.close();
  return ids.size;
}

/** A settle of one message each, of every second position from `first` to below `end`. */
export function everySecond(first: number, end: number, outcome: Outcome, delayMs = 0): Settle[] {
  const settles: Settle[] = [];
  for (let position = first; position < end; position += 2) {
    settles.push({ position, count: 1, outcome, reason: "", delayMs });
  }
  return settles;
}

export function subscribeFrame(topic: string): Uint8Array {
  return SubscribeRequest.toBinary({ kind: { oneofKind: "open", open: { topic, token: "" } } });
}
