/** What producers do in a run: the frame to the server, and the same to the model. */
import { ConnInit, ContentWrite } from "../../src/gen/tinymq/v0/message.ts";
import { Batch, Delivery, ProduceRequest } from "../../src/gen/tinymq/v1/queue.ts";
import { idBytes } from "../support/clients.ts";
import type { World } from "../support/world.ts";
import type { Content, ModelProducer } from "./message.ts";
import type { Model } from "./model.ts";
import type { Observer } from "./observer.ts";
import type { Of } from "./operations.ts";
import type { Awaited, History, Sent, Sim, SimProducer } from "./sims.ts";

const INVALID = 3;
const OUT_OF_RANGE = 11;
const TOO_LARGE = { code: OUT_OF_RANGE, ranges: [] };
const utf8 = new TextEncoder();
/** What programs send along: some that look like those of dead letters, and one that is. */
const HEADERS: readonly Record<string, string>[] = [
  {},
  {},
  { n: "1" },
  {},
  { "tinymq-dead-letter": "mine", n: "2" },
  { "tinymq-dead-reason": "old" },
];

export class Producing {
  readonly #world: World;
  readonly #model: Model;
  readonly #sims: Map<unknown, Sim>;
  readonly #observer: Observer;
  readonly #histories = new Map<string, History>();
  #bodies = 0;

  constructor(world: World, model: Model, sims: Map<unknown, Sim>, observer: Observer) {
    this.#world = world;
    this.#model = model;
    this.#sims = sims;
    this.#observer = observer;
  }

  /** A producer opens a stream, maybe one that had a stream before. */
  open(topicName: string, operation: Of<"producer"> | Of<"oldProducer">): void {
    const old = operation.op === "oldProducer";
    const id = old || operation.id === 0 ? "" : `${topicName}/${operation.id}`;
    const broadcast = !old && operation.broadcast;
    const topic = this.#model.topic(topicName);
    const history = this.#histories.get(id) ?? { sent: new Map(), next: 1, instance: "" };
    if (id !== "") this.#histories.set(id, history);
    const firstSeq = old ? 1 : Math.max(1, history.next - operation.back);
    history.next = firstSeq;
    const existing = topic.producers.get(id);
    const older = [...this.#sims.values()].find(
      (sim) => sim.kind === "producer" && sim.id === id && id !== "",
    );
    if (older?.kind === "producer" && older.producer === existing) {
      topic.connectedProducers -= 1;
      older.closes = 4010;
      older.awaited = [];
    }
    const fresh: ModelProducer = {
      known: false,
      lastSeq: 0,
      rejected: new Map(),
      connected: true,
      forgetAt: 0,
    };
    const producer = existing ?? fresh;
    if (!producer.known) producer.lastSeq = firstSeq - 1;
    const opens = { known: producer.known, lastSeq: producer.lastSeq };
    producer.connected = true;
    const { instance } = history;
    history.instance = this.#world.broker.instance;
    // Who was never here has no past that could have been forgotten.
    if (instance !== history.instance) producer.known = true;
    if (id !== "") topic.producers.set(id, producer);
    topic.connectedProducers += 1;
    const link = old ? this.#world.connectFirstVersion(`/${topicName}`) : this.#world.connect("Produce");
    const sim: SimProducer = {
      link,
      topic,
      old,
      frozen: false,
      lastSent: this.#model.now,
      closes: null,
      mayBeRefused: this.#observer.mayBeRefused(topicName),
      kind: "producer",
      id,
      broadcast,
      history,
      producer,
      opens,
      awaited: [],
    };
    this.#sims.set(link.socket, sim);
    if (old) {
      link.receive(ConnInit.toBinary({ role: 1, topic: topicName }));
      return;
    }
    const delivery = broadcast ? Delivery.BROADCAST : Delivery.QUEUE;
    const producerId = idBytes(id === "" ? null : (operation as Of<"producer">).id);
    const open = { topic: topicName, token: "", delivery, producerId, firstSeq, instance };
    link.receive(ProduceRequest.toBinary({ kind: { oneofKind: "open", open } }));
  }

  /** Sends the next batch, or what was sent under its number before. */
  send(sim: SimProducer, { count, size, delay, ttl, unique, ids }: Of<"send">): void {
    // Clients of the first version wait for each answer.
    if (sim.old && sim.awaited.length > 0) return;
    const seq = sim.history.next;
    sim.history.next += 1;
    const many = sim.old ? 1 : count;
    const sent = sim.history.sent.get(seq) ?? {
      seq,
      contents: this.#contents(many, size, ids).map((one) => (sim.old ? { ...one, headers: {} } : one)),
      delayMs: sim.old ? 0 : delay * 1_000,
      ttlMs: sim.old ? 0 : ttl * 1_000,
      uniqueMs: sim.old ? 0 : unique * 1_000,
    };
    sim.history.sent.set(seq, sent);
    this.#transmit(sim, sent);
  }

  /** Sends an old batch again, on the same stream. */
  resend(sim: SimProducer, back: number): void {
    const sent = sim.history.sent.get(sim.producer.lastSeq - back);
    if (!sim.old && sent !== undefined && sent.seq <= sim.producer.lastSeq) this.#transmit(sim, sent);
  }

  #contents(count: number, size: number, ids: number): Content[] {
    return Array.from({ length: count }, (_, index) => {
      const body = `${++this.#bodies}${"x".repeat(size)}`;
      return { id: (ids + index) % 10, body, headers: HEADERS[this.#bodies % HEADERS.length]! };
    });
  }

  #transmit(sim: SimProducer, sent: Sent): void {
    sim.lastSent = this.#model.now;
    const awaited = this.#expect(sim, sent);
    const messages = sent.contents.map((one) => ({ ...one, body: utf8.encode(one.body) }));
    if (sim.old) {
      const { id, body } = messages[0]!;
      // That protocol has no word for "rejected": the connection is closed.
      if (awaited.answer === TOO_LARGE) {
        this.#observer.refused(sim, sent, TOO_LARGE);
        this.#observer.ended(sim, false);
        sim.closes = 4000 + OUT_OF_RANGE;
      } else sim.awaited.push(awaited);
      sim.link.receive(ContentWrite.toBinary({ id, topic: "", body }));
      this.#observer.oldRefusal(sim);
      return;
    }
    // A batch that is sent again while its answer is on its way is answered once.
    if (!sim.awaited.some((other) => other.sent.seq === sent.seq)) sim.awaited.push(awaited);
    const { seq, delayMs, ttlMs, uniqueMs } = sent;
    const batch = { seq, delayMs, ttlMs, uniqueMs, messages: Batch.toBinary({ messages }) };
    sim.link.receive(ProduceRequest.toBinary({ kind: { oneofKind: "batch", batch } }));
  }

  /** What the answer to a batch must be. */
  #expect(sim: SimProducer, sent: Sent): Awaited {
    const { producer, topic } = sim;
    const { seq, contents, delayMs, ttlMs, uniqueMs } = sent;
    if (seq <= producer.lastSeq) return { sent, answer: producer.rejected.get(seq) ?? "stored", again: true };
    producer.lastSeq = seq;
    producer.known = true;
    const now = { sent, again: false };
    if (contents.some(({ body }) => body.length > 10_000)) return { ...now, answer: TOO_LARGE };
    if (contents.length === 0) return { ...now, answer: "stored" };
    if (!sim.broadcast) return { ...now, answer: null };
    if (delayMs + ttlMs + uniqueMs > 0) return { ...now, answer: { code: INVALID, ranges: [] } };
    topic.publish(contents);
    return { ...now, answer: "stored", again: true };
  }
}
