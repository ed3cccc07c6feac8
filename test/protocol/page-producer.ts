/** A producer that reconnects, written from docs/protocol.md and nothing else of ours but the generated frames. */
import { Batch, type ProduceOpened, ProduceRequest, ProduceResponse } from "../../src/gen/tinymq/v1/queue.ts";
import type { TestServer } from "./support.ts";
import { until, Wire } from "./support.ts";

/** What a producer knows of one message in the end. */
export type Fate = "stored" | "rejected" | "unknown";

interface InFlight {
  readonly seq: number;
  readonly id: number;
}

export class PageProducer {
  readonly #topic: string;
  readonly #producerId = crypto.getRandomValues(new Uint8Array(16));
  readonly #inFlight: InFlight[] = [];
  #wire: Wire | null = null;
  /** Of the last opened frame that it received. */
  #instance = "";
  #nextSeq = 1;
  /** By message id. */
  readonly fates = new Map<number, Fate>();

  constructor(topic: string) {
    this.#topic = topic;
  }

  get connected(): boolean {
    return this.#wire !== null;
  }

  /** Opens a stream and does with what is in flight what the page says. Returns what it was told. */
  async connect(server: TestServer): Promise<ProduceOpened> {
    const { wire, firstSeq } = await this.#open(server);
    const { kind } = ProduceResponse.fromBinary(await wire.next());
    if (kind.oneofKind !== "opened") throw new Error(`opened with ${kind.oneofKind}`);
    const { opened } = kind;
    const known = this.#instance;
    this.#instance = opened.instance;
    this.#wire = wire;
    if (opened.known && this.#inFlight.length === 0 && opened.lastSeq >= firstSeq)
      throw new Error("another program uses this producer_id");
    if (!opened.known && (known === "" || known === opened.instance)) {
      for (const { id } of this.#inFlight.splice(0)) this.fates.set(id, "unknown");
      this.#nextSeq = firstSeq;
    }
    for (const batch of this.#inFlight) this.#sendBatch(batch);
    await this.answers();
    return opened;
  }

  /** Opens a stream that breaks once the server has answered, and before the answer arrives. */
  async connectAndLoseAnswer(server: TestServer): Promise<void> {
    const { wire } = await this.#open(server);
    // The server's answer is thrown away unread.
    await wire.next();
    this.#wire = wire;
    await this.cut(server);
  }

  /** Sends one message as a batch. */
  send(id: number): void {
    const batch = { seq: this.#nextSeq, id };
    this.#nextSeq += 1;
    this.#inFlight.push(batch);
    this.#sendBatch(batch);
  }

  /** Reads answers until nothing is in flight. */
  async answers(): Promise<void> {
    while (this.#inFlight.length > 0) {
      const { kind } = ProduceResponse.fromBinary(await this.#wire!.next());
      if (kind.oneofKind === "acked") this.#settle(kind.acked.seq, "stored");
      else if (kind.oneofKind === "rejected") {
        this.#settle(kind.rejected.seq - 1, "stored");
        this.#settle(kind.rejected.seq, "rejected");
      }
    }
  }

  /** The connection breaks, once the server has so many batches in all (-1: whenever), and answers are lost. */
  async cut(server: TestServer, produced = -1): Promise<void> {
    if (produced >= 0) {
      await until(async () => {
        const { counters } = await server.admin("GetTopic", { topic: this.#topic });
        return Number((counters as { produced: string }).produced) === produced;
      }, `${produced} messages`);
    }
    this.#wire!.terminate();
    await this.#gone(server);
  }

  /** Ends the stream: with a finish frame, or without one. */
  async close(server: TestServer, finish: boolean): Promise<void> {
    if (finish) this.#send({ oneofKind: "finish", finish: {} });
    await this.#wire!.close(1000);
    await this.#gone(server);
  }

  /** The server ended. */
  lost(): void {
    this.#wire = null;
  }

  async #gone(server: TestServer): Promise<void> {
    await until(
      async () => (await server.admin("GetTopic", { topic: this.#topic })).producers === 0,
      "the server sees that the producer is gone",
    );
    this.#wire = null;
  }

  async #open(server: TestServer) {
    const wire = await Wire.open(server.port, "/tinymq.v1.TinyMQ/Produce", { protocol: "tinymq.v1" });
    const firstSeq = this.#inFlight[0]?.seq ?? this.#nextSeq;
    const open = { topic: this.#topic, token: "", delivery: 0, producerId: this.#producerId, firstSeq };
    wire.send(
      ProduceRequest.toBinary({ kind: { oneofKind: "open", open: { ...open, instance: this.#instance } } }),
    );
    return { wire, firstSeq };
  }

  #sendBatch({ seq, id }: InFlight): void {
    const messages = Batch.toBinary({ messages: [{ id, body: new Uint8Array(0), headers: {} }] });
    this.#send({ oneofKind: "batch", batch: { seq, delayMs: 0, ttlMs: 0, uniqueMs: 0, messages } });
  }

  #send(kind: ProduceRequest["kind"]): void {
    this.#wire!.send(ProduceRequest.toBinary({ kind }));
  }

  /** Every batch up to `seq` that has no answer has this one. */
  #settle(seq: number, fate: Fate): void {
    while (this.#inFlight.length > 0 && this.#inFlight[0]!.seq <= seq)
      this.fates.set(this.#inFlight.shift()!.id, fate);
  }
}
