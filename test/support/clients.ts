/** Clients for tests: they encode with the generated code, and decode what a session sent. */
import {
  Batch,
  ConsumeMode,
  ConsumeRequest,
  ConsumeResponse,
  Delivery,
  type Message,
  Outcome,
  ProduceRequest,
  ProduceResponse,
  SubscribeRequest,
  SubscribeResponse,
} from "../../src/gen/tinymq/v1/queue.ts";
import type { Link, World } from "./world.ts";

export type Partial16 = number | null;

/** An id of 16 bytes; null: none. */
export function idBytes(id: Partial16): Uint8Array {
  return id === null ? new Uint8Array(0) : new Uint8Array(16).fill(id);
}

export function message(id: number, body: string, headers: Record<string, string> = {}): Message {
  return { id, body: new TextEncoder().encode(body), headers };
}

export function bodyText(message: Message): string {
  return new TextDecoder().decode(message.body);
}

/** The frames that a session sent on one link since the last look. */
abstract class Inbox<T> {
  readonly link: Link;
  readonly #decode: (frame: Uint8Array) => T;

  constructor(link: Link, decode: (frame: Uint8Array) => T) {
    this.link = link;
    this.#decode = decode;
  }

  /** Says that the client means to end the stream. */
  abstract finish(): void;

  /** Ends the stream cleanly. */
  leave(): void {
    this.finish();
    this.link.end(1000);
  }

  get closed(): { readonly code: number; readonly reason: string } | null {
    return this.link.socket.closed;
  }

  /** What came since the last call. */
  take(): T[] {
    return this.link.socket.unread.splice(0).map((frame) => this.#decode(frame));
  }
}

export type ProduceEvent = ProduceResponse["kind"];
export type ConsumeEvent = ConsumeResponse["kind"];

export interface ProduceOptions {
  delayMs?: number;
  ttlMs?: number;
  uniqueMs?: number;
}

export class TestProducer extends Inbox<ProduceEvent> {
  seq: number;

  constructor(
    world: World,
    topic: string,
    id: Partial16 = null,
    firstSeq = 1,
    broadcast = false,
    instance = "",
  ) {
    super(world.connect("Produce"), (frame) => ProduceResponse.fromBinary(frame).kind);
    this.seq = firstSeq - 1;
    const delivery = broadcast ? Delivery.BROADCAST : Delivery.QUEUE;
    const open = { topic, token: "", delivery, producerId: idBytes(id), firstSeq, instance };
    this.request({ oneofKind: "open", open });
  }

  request(kind: ProduceRequest["kind"]): void {
    this.link.receive(ProduceRequest.toBinary({ kind }));
  }

  finish(): void {
    this.request({ oneofKind: "finish", finish: {} });
  }

  /** Sends the next batch, or again the one numbered `seq`. */
  send(messages: Message[], options: ProduceOptions = {}, seq = ++this.seq): number {
    this.sendRaw(Batch.toBinary({ messages }), options, seq);
    return seq;
  }

  sendRaw(messages: Uint8Array, options: ProduceOptions = {}, seq = ++this.seq): void {
    const batch = { seq, delayMs: 0, ttlMs: 0, uniqueMs: 0, ...options, messages };
    this.request({ oneofKind: "batch", batch });
  }
}

/** One delivery with its messages decoded. */
export interface Delivered {
  readonly pullId: number;
  readonly firstPosition: number;
  readonly messages: DeliveredMessage[];
}

export interface DeliveredMessage {
  readonly offset: number;
  readonly redelivered: boolean;
  readonly deliveries: number;
  readonly message: Message;
}

/** A delivery's messages with their offsets. Throws unless the runs and the messages agree. */
export function unfold(kind: ConsumeEvent): Delivered {
  if (kind.oneofKind !== "delivered") throw new Error(`no delivery: ${kind.oneofKind}`);
  const { pullId, firstPosition, runs, messages } = kind.delivered;
  const decoded = Batch.fromBinary(messages).messages;
  const all: Delivered["messages"] = [];
  for (const run of runs) {
    if (run.count === 0) throw new Error("an empty run");
    for (let index = 0; index < run.count; index++) {
      const message = decoded[all.length];
      if (message === undefined) throw new Error("more offsets than messages");
      const { firstOffset, redelivered, deliveries } = run;
      all.push({ offset: firstOffset + index, redelivered, deliveries, message });
    }
  }
  if (all.length !== decoded.length) throw new Error("more messages than offsets");
  return { pullId, firstPosition, messages: all };
}

export interface SettleRequest {
  position: number;
  count: number;
  outcome: Outcome;
  reason?: string;
  delayMs?: number;
}

export interface PullRequest {
  max?: number;
  bytes?: number;
  wait?: number;
  ack?: number;
  settles?: SettleRequest[];
  handed?: number;
}

const MODES = { exclusive: ConsumeMode.EXCLUSIVE, standby: ConsumeMode.STANDBY, shared: ConsumeMode.SHARED };

export class TestConsumer extends Inbox<ConsumeEvent> {
  pulls = 0;

  constructor(world: World, topic: string, mode: keyof typeof MODES = "exclusive", id: Partial16 = null) {
    super(world.connect("Consume"), (frame) => ConsumeResponse.fromBinary(frame).kind);
    const open = { topic, token: "", mode: MODES[mode], consumerId: idBytes(id) };
    this.request({ oneofKind: "open", open });
  }

  request(kind: ConsumeRequest["kind"]): void {
    this.link.receive(ConsumeRequest.toBinary({ kind }));
  }

  /** Settles them in as many frames as that takes; nothing has to be ready. */
  settleAll(settles: readonly SettleRequest[]): void {
    for (let first = 0; first < settles.length; first += 8_000)
      this.pull({ max: 1, wait: 1, settles: settles.slice(first, first + 8_000) });
  }

  /** Sends a pull and returns its id. */
  pull({ max = 0, bytes = 0, wait = 0, ack, settles = [], handed }: PullRequest = {}): number {
    this.pulls += 1;
    this.request({
      oneofKind: "pull",
      pull: {
        pullId: this.pulls,
        maxMessages: max,
        maxBytes: bytes,
        waitMs: wait,
        settles: settles.map((settle) => ({ reason: "", delayMs: 0, ...settle })),
        ...(ack === undefined ? {} : { ack: { count: ack } }),
        ...(handed === undefined ? {} : { handed: { count: handed } }),
      },
    });
    return this.pulls;
  }

  finish(): void {
    this.request({ oneofKind: "finish", finish: {} });
  }

  /** Says that all below `count` was handed to the program. */
  handed(count: number): void {
    this.request({ oneofKind: "handed", handed: { count } });
  }

  ack(count: number): void {
    this.request({ oneofKind: "ack", ack: { count } });
  }

  settle(settle: SettleRequest): void {
    this.request({ oneofKind: "settle", settle: { reason: "", delayMs: 0, ...settle } });
  }

  retry(position: number, count = 1, delayMs = 0): void {
    this.settle({ position, count, outcome: Outcome.RETRY, delayMs });
  }

  reject(position: number, count = 1, reason = ""): void {
    this.settle({ position, count, outcome: Outcome.REJECT, reason });
  }

  rewind(position: number, delayMs = 0, reason = ""): void {
    this.request({ oneofKind: "rewind", rewind: { position, reason, delayMs } });
  }

  /** Bodies of all deliveries since the last look, a "*" behind those delivered before. */
  bodies(): string[] {
    const deliveries = this.take().filter((kind) => kind.oneofKind === "delivered");
    return deliveries.flatMap((kind) =>
      unfold(kind).messages.map(({ message, redelivered }) => bodyText(message) + (redelivered ? "*" : "")),
    );
  }

  /** Pulls once, and returns the bodies that came. */
  fetch(request: PullRequest = {}): string[] {
    this.pull(request);
    return this.bodies();
  }
}

export class TestSubscriber extends Inbox<SubscribeResponse["kind"]> {
  constructor(world: World, topic: string) {
    super(world.connect("Subscribe"), (frame) => SubscribeResponse.fromBinary(frame).kind);
    this.request({ oneofKind: "open", open: { topic, token: "" } });
  }

  request(kind: SubscribeRequest["kind"]): void {
    this.link.receive(SubscribeRequest.toBinary({ kind }));
  }

  finish(): void {
    this.request({ oneofKind: "finish", finish: {} });
  }
}
