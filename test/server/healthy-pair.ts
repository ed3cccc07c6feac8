/** A producer and a consumer that do everything right, while others do not. */
import { expect } from "bun:test";
import {
  Batch,
  ConsumeRequest,
  ConsumeResponse,
  ProduceRequest,
  ProduceResponse,
} from "../../src/gen/tinymq/v1/queue.ts";
import { toHex, until, Wire } from "../protocol/support.ts";

export class HealthyPair {
  readonly #producer: Wire;
  readonly #consumer: Wire;
  #sent = 0;
  #running: Promise<void> | null = null;
  #stopped = false;

  private constructor(producer: Wire, consumer: Wire) {
    this.#producer = producer;
    this.#consumer = consumer;
  }

  /** Connects both to a new topic; from then on messages pass through, one after the other, until `stop`. */
  static async start(port: number, topic = "healthy"): Promise<HealthyPair> {
    const [producer, consumer] = await Promise.all(
      ["Produce", "Consume"].map((method) =>
        Wire.open(port, `/tinymq.v1.TinyMQ/${method}`, { protocol: "tinymq.v1" }),
      ),
    );
    const open = { topic, token: "" };
    producer!.send(
      ProduceRequest.toBinary(
        ProduceRequest.create({ kind: { oneofKind: "open", open: { ...NO_PRODUCER, ...open } } }),
      ),
    );
    consumer!.send(
      ConsumeRequest.toBinary({ kind: { oneofKind: "open", open: { ...open, mode: 0, consumerId: NONE } } }),
    );
    await Promise.all([producer!.next(), consumer!.next()]);
    const pair = new HealthyPair(producer!, consumer!);
    pair.#running = pair.#run();
    return pair;
  }

  /** Resolves once another message has passed through, from beginning to end. */
  async passes(): Promise<void> {
    const sent = this.#sent;
    await until(() => this.#sent >= sent + 2, "the healthy pair goes on");
  }

  /** Passes one more message through, ends both streams, and returns how many passed. Throws if any went wrong. */
  async stop(): Promise<number> {
    this.#stopped = true;
    await this.#running;
    await this.#pass();
    expect(await this.#producer.close()).toMatchObject({ code: 1000 });
    expect(await this.#consumer.close()).toMatchObject({ code: 1000 });
    return this.#sent;
  }

  async #run(): Promise<void> {
    while (!this.#stopped) {
      await this.#pass();
      await Bun.sleep(1);
    }
  }

  async #pass(): Promise<void> {
    const id = this.#sent++;
    const seq = id + 1;
    const messages = Batch.toBinary({
      messages: [{ id, body: new TextEncoder().encode(`body ${id}`), headers: {} }],
    });
    const batch = { seq, delayMs: 0, ttlMs: 0, uniqueMs: 0, messages };
    this.#producer.send(ProduceRequest.toBinary({ kind: { oneofKind: "batch", batch } }));
    expect(ProduceResponse.fromBinary(await answer(this.#producer)).kind).toEqual({
      oneofKind: "acked",
      acked: { seq },
    });
    const pull = {
      pullId: seq,
      maxMessages: 10,
      maxBytes: 0,
      waitMs: 60_000,
      ack: { count: id },
      settles: [],
    };
    this.#consumer.send(ConsumeRequest.toBinary({ kind: { oneofKind: "pull", pull } }));
    expect(ConsumeResponse.fromBinary(await answer(this.#consumer)).kind).toEqual({
      oneofKind: "delivered",
      delivered: {
        pullId: seq,
        firstPosition: id,
        runs: [{ firstOffset: id, count: 1, redelivered: false, deliveries: 0 }],
        messages,
      },
    });
    this.#consumer.send(ConsumeRequest.toBinary({ kind: { oneofKind: "ack", ack: { count: seq } } }));
  }
}

/** Heartbeats of the server on a produce and on a consume stream. */
const HEARTBEATS = ["2200", "3200"];
/** `ConsumeResponse { settled }` begins so. */
const SETTLED_TAG = 0x3a;

/** The next frame that answers something. */
async function answer(wire: Wire): Promise<Uint8Array> {
  for (;;) {
    const frame = await wire.next();
    if (frame[0] !== SETTLED_TAG && !HEARTBEATS.includes(toHex(frame))) return frame;
  }
}

const NONE = new Uint8Array(0);
const NO_PRODUCER = { delivery: 0, producerId: NONE, firstSeq: 1, instance: "" };
