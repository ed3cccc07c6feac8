/**
 * A process of a healthy producer and a healthy consumer: so many messages a second, by a plan that does not
 * wait for answers, so that a pause is seen by all messages that it delays. Tells in the end how long each took.
 */
import {
  Batch,
  ConsumeRequest,
  ConsumeResponse,
  ProduceRequest,
  ProduceResponse,
} from "../../../src/gen/tinymq/v1/queue.ts";
import { Stream } from "./stream.ts";

export interface PairOrders {
  readonly port: number;
  readonly topic: string;
  /** Messages a second. */
  readonly rate: number;
}

/** In ms. */
export interface Latency {
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
}

export interface PairReport {
  readonly sent: number;
  readonly acknowledged: number;
  readonly rejected: number;
  readonly delivered: number;
  /** Acknowledged, and never delivered. */
  readonly lost: number;
  /** Delivered twice, or though it was rejected. */
  readonly tooMany: number;
  /** Delivered behind one that was sent later. */
  readonly outOfOrder: number;
  readonly toAcknowledgement: Latency;
  readonly toDelivery: Latency;
  /** How late this process itself was, at most: no fault of the server. */
  readonly ownPause: number;
  /** What went wrong, if the streams ended; "": nothing. */
  readonly failure: string;
}

const NONE = new Uint8Array(0);
const BODY = new Uint8Array(100).fill(120);
/** How long what was sent may take in the end. */
const LAST_MS = 20_000;

const sentAt: number[] = [];
const ackedAfter: number[] = [];
const deliveredAfter: number[] = [];
const state = { answered: 0, rejected: new Set<number>(), seen: new Set<number>(), last: -1, pulls: 0 };
const wrong = { tooMany: 0, outOfOrder: 0, failure: "" };
let ownPause = 0;
let isOn = true;

process.on("message", (message: PairOrders | "stop") => {
  if (message === "stop") isOn = false;
  else void run(message).catch(fail);
});
process.on("disconnect", () => process.exit(1));

function fail(error: unknown): void {
  wrong.failure ||= String(error);
  process.send!(report());
}

async function run({ port, topic, rate }: PairOrders): Promise<void> {
  const produceOpen = { topic, token: "", delivery: 0, producerId: NONE, firstSeq: 1, instance: "" };
  const consumeOpen = { topic, token: "", mode: 0, consumerId: NONE };
  const producer = await Stream.open(
    port,
    "Produce",
    ProduceRequest.toBinary({ kind: { oneofKind: "open", open: produceOpen } }),
  );
  const consumer = await Stream.open(
    port,
    "Consume",
    ConsumeRequest.toBinary({ kind: { oneofKind: "open", open: consumeOpen } }),
  );
  producer.onFrame = takeAnswer;
  consumer.onFrame = (frame) => takeDelivery(consumer, frame);
  pull(consumer);
  pull(consumer);
  process.send!("open");
  await produce(producer, rate);
  const deadline = performance.now() + LAST_MS;
  const isDone = () =>
    state.answered === sentAt.length && state.seen.size >= sentAt.length - state.rejected.size;
  while (!isDone() && performance.now() < deadline) await Bun.sleep(5);
  process.send!(report());
}

async function produce(producer: Stream, rate: number): Promise<void> {
  const begun = performance.now();
  for (let before = begun; isOn; ) {
    await Bun.sleep(1);
    const now = performance.now();
    // The timer's own millisecond is no pause.
    ownPause = Math.max(ownPause, now - before - 2);
    before = now;
    for (let due = begun + (sentAt.length * 1000) / rate; due <= now; ) {
      send(producer, due);
      due = begun + (sentAt.length * 1000) / rate;
    }
  }
}

function send(producer: Stream, due: number): void {
  const id = sentAt.length;
  sentAt.push(due);
  const messages = Batch.toBinary({ messages: [{ id, body: BODY, headers: {} }] });
  const batch = { seq: id + 1, delayMs: 0, ttlMs: 0, uniqueMs: 0, messages };
  producer.send(ProduceRequest.toBinary({ kind: { oneofKind: "batch", batch } }));
}

function takeAnswer(frame: Uint8Array): void {
  const { kind } = ProduceResponse.fromBinary(frame);
  if (kind.oneofKind === "rejected") state.rejected.add(kind.rejected.seq - 1);
  const seq =
    kind.oneofKind === "acked"
      ? kind.acked.seq
      : kind.oneofKind === "rejected"
        ? kind.rejected.seq
        : state.answered;
  const now = performance.now();
  for (; state.answered < seq; state.answered++) ackedAfter.push(now - sentAt[state.answered]!);
}

function takeDelivery(consumer: Stream, frame: Uint8Array): void {
  const { kind } = ConsumeResponse.fromBinary(frame);
  if (kind.oneofKind === "empty") pull(consumer);
  if (kind.oneofKind !== "delivered") return;
  const now = performance.now();
  for (const { id } of Batch.fromBinary(kind.delivered.messages).messages) {
    deliveredAfter.push(now - sentAt[id]!);
    if (state.seen.has(id)) wrong.tooMany += 1;
    if (id <= state.last) wrong.outOfOrder += 1;
    state.seen.add(id);
    state.last = id;
  }
  pull(consumer);
}

/** Two pulls are on their way at any time; each acknowledges what came before. */
function pull(consumer: Stream): void {
  const ack = { count: deliveredAfter.length };
  const pull = { pullId: ++state.pulls, maxMessages: 256, maxBytes: 0, waitMs: 30_000, ack, settles: [] };
  consumer.send(ConsumeRequest.toBinary({ kind: { oneofKind: "pull", pull } }));
}

function report(): PairReport {
  const { answered, rejected, seen } = state;
  let lost = 0;
  for (let id = 0; id < answered; id++) if (!rejected.has(id) && !seen.has(id)) lost += 1;
  let wronglyThere = 0;
  for (const id of rejected) if (seen.has(id)) wronglyThere += 1;
  return {
    sent: sentAt.length,
    acknowledged: answered - rejected.size,
    rejected: rejected.size,
    delivered: deliveredAfter.length,
    lost,
    tooMany: wrong.tooMany + wronglyThere,
    outOfOrder: wrong.outOfOrder,
    toAcknowledgement: latency(ackedAfter),
    toDelivery: latency(deliveredAfter),
    ownPause: Math.round(ownPause),
    failure: wrong.failure,
  };
}

function latency(values: number[]): Latency {
  const sorted = Float64Array.from(values).sort();
  const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? 0;
  return { p50: at(0.5), p99: at(0.99), max: at(1) };
}
