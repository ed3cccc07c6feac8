/** Looks at what the server sent, frame by frame, and holds it against the model. */
import { ConnStatus, ContentRead, Ack as OldAck } from "../../src/gen/tinymq/v0/message.ts";
import {
  Batch,
  ConsumeResponse,
  type Message,
  ProduceResponse,
  SubscribeResponse,
} from "../../src/gen/tinymq/v1/queue.ts";
import { type Delivered, unfold } from "../support/clients.ts";
import type { SocketEvent } from "../support/fake-socket.ts";
import type { World } from "../support/world.ts";
import { fail, same } from "./failure.ts";
import type { Content, Model, ModelConsumer, ModelMessage, ModelTopic } from "./model.ts";
import type { Sent, Sim, SimConsumer, SimProducer, SimSubscriber } from "./sims.ts";

const EXHAUSTED = 8;
const DROPPED_FRAME = 4008;
const UNHEARD = 4014;
const NOT_FULL = 0;
const text = new TextDecoder();

export class Observer {
  readonly #world: World;
  readonly #model: Model;
  readonly #sims: Map<unknown, Sim>;
  #seen = 0;

  constructor(world: World, model: Model, sims: Map<unknown, Sim>) {
    this.#world = world;
    this.#model = model;
    this.#sims = sims;
  }

  /** Looks at all that the server did since the last time. */
  look(): void {
    const fresh = this.#world.events.slice(this.#seen);
    this.#seen = this.#world.events.length;
    // A stream that is given up returns its messages before it is closed.
    for (const event of fresh) if (event.kind === "closed" && event.code === UNHEARD) this.#unheard(event);
    for (const event of fresh) {
      const sim = this.#sims.get(event.socket);
      if (sim === undefined) fail(`${event.socket.name} has no client`);
      if (event.kind === "closed") this.#closed(sim, event.code, event.reason);
      else this.#sent(sim, event.frame);
    }
  }

  /** The server's end of a stream is gone: its messages return, and so on. */
  ended(sim: Sim, clean: boolean): void {
    if (sim.kind === "consumer") sim.topic.leave(sim.consumer, clean);
    else if (sim.kind === "subscriber") sim.topic.subscribers -= 1;
    else {
      sim.topic.connectedProducers -= 1;
      sim.producer.connected = false;
      sim.producer.forgetAt = this.#model.now + this.#model.limits.producerMemoryMs;
      if (clean) sim.topic.producers.delete(sim.id);
    }
  }

  #unheard({ socket }: SocketEvent): void {
    const sim = this.#sims.get(socket)!;
    const silent = this.#model.now - sim.lastSent;
    if (silent < (sim.old ? 40_000 : 45_000)) fail(`${socket.name} was given up after ${silent} ms`);
    sim.closes = UNHEARD;
    this.ended(sim, false);
  }

  #closed(sim: Sim, code: number, reason: string): void {
    if (sim.closes !== code) fail(`${sim.link.socket.name} was closed with ${code} (${reason})`);
    sim.closes = null;
    this.#sims.delete(sim.link.socket);
    // The socket tells its session that it is closed, as Bun does.
    this.#world.links.delete(sim.link);
    sim.link.session.closed(code, reason);
  }

  #sent(sim: Sim, frame: Uint8Array): void {
    if (sim.kind === "producer") this.#toProducer(sim, frame);
    else if (sim.kind === "consumer") this.#toConsumer(sim, frame);
    else this.#toSubscriber(sim, frame);
    const { state } = sim.link.socket;
    if (sim.kind === "consumer" && state === "slow") sim.consumer.blocked = true;
    if (state !== "full" || sim.closes !== null || sim.kind === "subscriber") return;
    sim.closes = DROPPED_FRAME;
    this.ended(sim, false);
  }

  #toProducer(sim: SimProducer, frame: Uint8Array): void {
    if (sim.old) {
      if (sim.opens !== null) {
        same(ConnStatus.fromBinary(frame).status, 1000, "a producer's status");
        sim.opens = null;
        return;
      }
      same(OldAck.fromBinary(frame).id, sim.awaited[0]?.sent.contents[0]?.id, "an old producer's answer");
      this.#answered(sim, sim.awaited[0]!.sent.seq, 0);
      return;
    }
    const { kind } = ProduceResponse.fromBinary(frame);
    if (kind.oneofKind === "opened") {
      same({ known: kind.opened.known, lastSeq: kind.opened.lastSeq }, sim.opens, "a producer's opened");
      sim.opens = null;
    } else if (kind.oneofKind === "acked") this.#answered(sim, kind.acked.seq, 0);
    else if (kind.oneofKind === "rejected") this.#answered(sim, kind.rejected.seq, kind.rejected.code);
    else if (kind.oneofKind !== "heartbeat") fail(`${kind.oneofKind} to a producer`);
  }

  #answered(sim: SimProducer, seq: number, code: number): void {
    const awaited = sim.awaited.shift();
    if (awaited?.sent.seq !== seq) fail(`${seq} was answered, awaited: ${awaited?.sent.seq}`);
    if (awaited.answer !== null || code !== EXHAUSTED)
      same(code, awaited.answer ?? NOT_FULL, `the answer to ${seq}`);
    if (awaited.fresh === null) return;
    if (code === 0) this.stored(sim, awaited.sent, awaited.fresh);
    else this.refused(sim, awaited.sent, code);
  }

  /** A batch was stored now, for the first time. */
  stored(sim: SimProducer, { delayMs, ttlMs, uniqueMs }: Sent, fresh: readonly Content[]): void {
    this.#dropped(sim.topic);
    if (uniqueMs > 0) for (const { id } of fresh) sim.topic.unique.set(id, this.#model.now + uniqueMs);
    sim.topic.store(fresh, delayMs, ttlMs);
  }

  /** An old producer whose batch finds no room is closed, for want of another answer. */
  oldRefusal(sim: SimProducer): void {
    const { closed } = sim.link.socket;
    if (closed?.code !== 4000 + EXHAUSTED || !closed.reason.includes(" is full: ")) return;
    this.refused(sim, sim.awaited.shift()!.sent, EXHAUSTED);
    sim.closes = 4000 + EXHAUSTED;
    this.ended(sim, false);
  }

  refused(sim: SimProducer, sent: Sent, code: number): void {
    sim.producer.rejected.set(sent.seq, code);
    if (code === EXHAUSTED) this.#dropped(sim.topic);
    sim.topic.count("rejected", code === 11 ? 1 : Math.max(1, sent.contents.length));
  }

  /** What had to go for a batch: the oldest that nobody holds. */
  #dropped(topic: ModelTopic): void {
    const dropped =
      (this.#world.broker.topics.get(topic.name)?.tally.counters.dropped ?? 0) - topic.counters.dropped;
    if (dropped === 0) return;
    if (this.#model.limits.overflow !== "drop-oldest") fail("messages were dropped");
    const free = topic.messages.filter(({ state }) => state !== "leased");
    if (dropped > free.length) fail(`${dropped} messages were dropped where ${free.length} were free`);
    for (const message of free.slice(0, dropped)) topic.remove(message);
    topic.count("dropped", dropped);
  }

  #toConsumer(sim: SimConsumer, frame: Uint8Array): void {
    const { consumer } = sim;
    if (sim.old) {
      this.#toOldConsumer(sim, frame);
      return;
    }
    const { kind } = ConsumeResponse.fromBinary(frame);
    switch (kind.oneofKind) {
      case "opened":
        same(kind.opened.holder, sim.opens, "holder");
        sim.opens = null;
        return;
      case "promoted":
        if (consumer.topic.holder !== null) fail(`${consumer.name} was promoted beside a holder`);
        same(consumer.topic.standbys.shift()?.name, consumer.name, "the next in line");
        consumer.topic.holder = consumer;
        for (const pull of consumer.pulls) pull.turn = this.nextTurn();
        return;
      case "empty":
        this.#empty(sim, kind.empty.pullId);
        return;
      case "rewound":
        same(kind.rewound.position, sim.rewinds, "rewound");
        same(consumer.pulls.length, 0, "pulls when it was rewound");
        sim.rewinds = null;
        return;
      case "delivered":
        this.#delivered(sim, unfold(kind));
        return;
      case "heartbeat":
        return;
      default:
        fail("an unknown frame");
    }
  }

  #toOldConsumer(sim: SimConsumer, frame: Uint8Array): void {
    if (sim.opens !== null) {
      same(ConnStatus.fromBinary(frame).status, sim.opens ? 1000 : 4000, "a consumer's status");
      sim.opens = null;
      return;
    }
    const { id, status, body } = ContentRead.fromBinary(frame);
    if (status === 2001) {
      same(Buffer.from(frame).toString("hex"), "0d0000000015d10700001a0100", "an empty answer");
      this.#empty(sim, 0);
      return;
    }
    same(status, 2000, "the status of a message");
    const message: Message = { id: id!, body: body!, headers: {} };
    const firstPosition = sim.consumer.lease.length;
    this.#delivered(sim, {
      pullId: 0,
      firstPosition,
      messages: [{ offset: -1, redelivered: false, message }],
    });
  }

  #turns = 0;

  nextTurn(): number {
    return ++this.#turns;
  }

  #empty(sim: SimConsumer, pullId: number): void {
    const { consumer } = sim;
    const index = consumer.pulls.findIndex(({ id }) => id === pullId);
    const pull = consumer.pulls[index];
    if (pull === undefined) fail(`${consumer.name}: pull ${pullId} was answered with empty and did not wait`);
    consumer.pulls.splice(index, 1);
    if (sim.rewinds !== null) return;
    if (pull.wait > 0) {
      if (this.#model.now < pull.deadline) fail(`${consumer.name}: pull ${pullId} did not wait`);
    } else if (consumer.active && !consumer.blocked && !this.#isPaused(consumer.topic)) {
      const overlooked = consumer.topic.ready.filter(({ readySince }) => readySince < this.#model.step);
      same(
        overlooked.length,
        0,
        `${consumer.name}: messages that were ready when it was told there are none`,
      );
    }
  }

  #isPaused(topic: ModelTopic): boolean {
    return this.#model.now < topic.pausedUntil;
  }

  #delivered(sim: SimConsumer, { pullId, firstPosition, messages }: Delivered): void {
    const { consumer } = sim;
    const { topic } = consumer;
    const pull = consumer.pulls[0];
    if (pull?.id !== pullId) fail(`${consumer.name}: pull ${pullId} was answered, the oldest is ${pull?.id}`);
    if (!consumer.active) fail(`${consumer.name} got messages and may take none`);
    if (consumer.blocked) fail(`${consumer.name} got messages and does not read`);
    if (this.#isPaused(topic)) fail(`${consumer.name} got messages of a topic that pauses`);
    this.#checkTurn(consumer, pull.turn);
    same(firstPosition, consumer.lease.length, `${consumer.name}: first position`);
    consumer.pulls.shift();

    const taken = this.#match(sim, topic, messages);
    const bytes = taken.reduce((sum, { size }) => sum + size, 0);
    if (taken.length === 0 || taken.length > pull.max)
      fail(`${taken.length} messages for a pull of ${pull.max}`);
    if (bytes > pull.bytes && taken.length > 1) fail(`${bytes} bytes for a pull of ${pull.bytes}`);
    topic.count("delivered", taken.length);
    topic.count("redelivered", taken.filter(({ state }) => state === "returned").length);
    for (const message of taken) message.state = "leased";
    consumer.lease.push(...taken);
    if (taken.length >= pull.max) return;
    const next = topic.ready[0];
    // What became ready in this step may not have been when it was delivered.
    if (next === undefined || next.readySince >= this.#model.step) return;
    if (bytes + next.size <= pull.bytes) fail(`${consumer.name}: ${next.body} was left behind`);
  }

  #checkTurn(consumer: ModelConsumer, turn: number): void {
    for (const other of consumer.topic.consumers) {
      if (!other.active || other.blocked) continue;
      if (other.pulls.some((pull) => pull.turn < turn))
        fail(`${consumer.name} got the messages of ${other.name}`);
    }
  }

  /** The model's messages of a delivery. They must be the next in order; those ready since now may be missing. */
  #match(sim: SimConsumer, topic: ModelTopic, messages: Delivered["messages"]): ModelMessage[] {
    const ready = topic.ready;
    let next = 0;
    return messages.map(({ offset, redelivered, message }) => {
      const { id, headers } = message;
      const found = { id, body: text.decode(message.body), headers };
      for (; ; next++) {
        const candidate = ready[next];
        if (candidate === undefined) fail(`${found.body} is not ready, or not in its order`);
        const wanted = { id: candidate.id, body: candidate.body, headers: sim.old ? {} : candidate.headers };
        if (Bun.deepEquals(found, wanted)) {
          next += 1;
          if (!sim.old) this.#checkRun(topic, candidate, offset, redelivered);
          return candidate;
        }
        if (candidate.readySince < this.#model.step) {
          fail(`${Bun.inspect(found)} came where ${Bun.inspect(wanted)} is next`);
        }
      }
    });
  }

  #checkRun(topic: ModelTopic, message: ModelMessage, offset: number, redelivered: boolean): void {
    same(redelivered, message.state === "returned", `redelivered of ${message.body}`);
    if (message.offset === null) {
      const place = topic.messages.indexOf(message);
      const before = topic.messages.findLast((other, index) => index < place && other.offset !== null);
      const behind = topic.messages.find((other, index) => index > place && other.offset !== null);
      if ((before?.offset ?? -1) >= offset || (behind?.offset ?? Infinity) <= offset)
        fail(`offset ${offset} again`);
      if (message.state === "fresh" && offset <= topic.highest) fail(`offset ${offset} came late`);
      topic.highest = Math.max(topic.highest, offset);
    } else same(offset, message.offset, `the offset of ${message.body}`);
    message.offset = offset;
  }

  #toSubscriber(sim: SimSubscriber, frame: Uint8Array): void {
    const { kind } = SubscribeResponse.fromBinary(frame);
    if (kind.oneofKind === "opened") {
      same(kind.opened.published, sim.opens, "published before");
      sim.opens = null;
    } else if (kind.oneofKind === "published") {
      const { messages } = Batch.fromBinary(kind.published.messages);
      same(messages.length, kind.published.count, "the count of a published frame");
      for (const [index, { body }] of messages.entries()) {
        sim.seen.push([kind.published.published + index, text.decode(body)]);
      }
    } else if (kind.oneofKind === "count")
      same(kind.count.published, sim.topic.publishedCount, "the running count");
    else fail("an unknown frame");
  }
}
