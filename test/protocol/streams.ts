/** Streams whose frames are told and read as messages of the generated code, one at a time. */
import type { IMessageType } from "@protobuf-ts/runtime";
import {
  Batch,
  ConsumeMode,
  ConsumeRequest,
  ConsumeResponse,
  type Delivered,
  type Message,
  ProduceRequest,
  ProduceResponse,
} from "../../src/gen/tinymq/v1/queue.ts";
import { type TestServer, Wire } from "./support.ts";

/** One stream of `Request` and `Response`. */
class Stream<Request extends { kind: object }, Response extends { kind: object }> {
  readonly wire: Wire;
  readonly #request: IMessageType<Request>;
  readonly #response: IMessageType<Response>;

  constructor(wire: Wire, request: IMessageType<Request>, response: IMessageType<Response>) {
    this.wire = wire;
    this.#request = request;
    this.#response = response;
  }

  send(kind: Request["kind"]): this {
    this.wire.send(this.#request.toBinary({ kind } as Request));
    return this;
  }

  async next(): Promise<Response["kind"]> {
    return this.#response.fromBinary(await this.wire.next()).kind;
  }
}

export class ProduceStream extends Stream<ProduceRequest, ProduceResponse> {
  #seq = 0;

  static async open(server: TestServer, topic: string): Promise<ProduceStream> {
    const wire = await Wire.open(server.port, "/tinymq.v1.TinyMQ/Produce", { protocol: "tinymq.v1" });
    const stream = new ProduceStream(wire, ProduceRequest, ProduceResponse);
    const open = { topic, token: "", delivery: 0, producerId: new Uint8Array(0), firstSeq: 1, instance: "" };
    await stream.send({ oneofKind: "open", open }).next();
    return stream;
  }

  /** Sends a batch with the next seq and returns the answer. */
  produce(messages: readonly Message[], delayMs = 0): Promise<ProduceResponse["kind"]> {
    this.#seq += 1;
    const encoded = Batch.toBinary({ messages: [...messages] });
    const batch = { seq: this.#seq, delayMs, ttlMs: 0, uniqueMs: 0, messages: encoded };
    return this.send({ oneofKind: "batch", batch }).next();
  }
}

export class ConsumeStream extends Stream<ConsumeRequest, ConsumeResponse> {
  #pulls = 0;

  static async open(server: TestServer, topic: string, mode = ConsumeMode.EXCLUSIVE): Promise<ConsumeStream> {
    const wire = await Wire.open(server.port, "/tinymq.v1.TinyMQ/Consume", { protocol: "tinymq.v1" });
    const stream = new ConsumeStream(wire, ConsumeRequest, ConsumeResponse);
    const open = { topic, token: "", mode, consumerId: new Uint8Array(0) };
    await stream.send({ oneofKind: "open", open }).next();
    return stream;
  }

  /** Sends a pull; its answer is still to be read. */
  sendPull(maxMessages = 0, waitMs = 0): this {
    this.#pulls += 1;
    const pull = { pullId: this.#pulls, maxMessages, maxBytes: 0, waitMs, settles: [] };
    return this.send({ oneofKind: "pull", pull });
  }

  /** Pulls without waiting and returns what comes; null: nothing does. Other frames are passed over. */
  async pull(maxMessages = 0): Promise<Delivered | null> {
    this.sendPull(maxMessages);
    for (;;) {
      const kind = await this.next();
      if (kind.oneofKind === "delivered") return kind.delivered;
      if (kind.oneofKind === "empty") return null;
    }
  }

  /** Everything that is there, in order. */
  async pullAll(): Promise<Message[]> {
    const all: Message[] = [];
    for (;;) {
      const delivered = await this.pull();
      if (delivered === null) return all;
      all.push(...Batch.fromBinary(delivered.messages).messages);
    }
  }
}

/** A message without headers. */
export function message(id: number, byteLength = 0): Message {
  return { id, body: new Uint8Array(byteLength), headers: {} };
}
