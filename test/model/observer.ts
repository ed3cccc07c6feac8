/** Looks at what the server sent, frame by frame, and holds it against the model. */
import { ConnStatus, ContentRead, Ack as OldAck } from "../../src/gen/tinymq/v0/message.ts";
import {
  Batch,
  ConsumeResponse,
  type Message,
  ProduceResponse,
  SubscribeResponse,
} from "../../src/gen/tinymq/v1/queue.ts";
import { type Delivered, type DeliveredMessage, unfold } from "../support/clients.ts";
import type { SocketEvent } from "../support/fake-socket.ts";
import type { World } from "../support/world.ts";
import { fail, same } from "./failure.ts";
import type { Content, ModelMessage, Refused } from "./message.ts";
import type { Model } from "./model.ts";
import { Room } from "./room.ts";
import type { Sent, Sim, SimConsumer, SimProducer, SimSubscriber } from "./sims.ts";
import type { ModelTopic } from "./topic.ts";

const EXHAUSTED = 8;
const DROPPED_FRAME = 4008;
const UNHEARD = 4014;
const OUT_OF_RANGE = 11;
/** The server stops, to be started again. */
const STOPPED = 1012;
const text = new TextDecoder();

/** The end of a stream, that took place between `from` and its close, by the events of one look. */
interface End {
  readonly event: SocketEvent & { kind: "closed" };
  readonly from: number;
}

export class Observer {
  readonly #world: World;
  readonly #model: Model;
  readonly #sims: Map<unknown, Sim>;
  readonly #room: Room;
  #seen = 0;
  #turns = 0;
  /** The server is told to end all streams. */
  stopping = false;

  constructor(world: World, model: Model, sims: Map<unknown, Sim>) {
    this.#world = world;
    this.#model = model;
    this.#sims = sims;
    this.#room = new Room(world, model);
  }

  /** Looks at all that the server did since the last time. */
  look(): void {
    const fresh = this.#world.events.slice(this.#seen);
    this.#seen = this.#world.events.length;
    this.#room.learn();
    const ends = this.#ends(fresh);
    for (const [index, event] of fresh.entries()) {
      for (; ends[0] !== undefined && ends[0].from <= index; ends.shift()) this.#given(ends[0]);
      const sim = this.#sims.get(event.socket);
      if (sim === undefined) fail(`${event.socket.name} has no client`);
      if (event.kind === "closed") this.#closed(sim, event.code, event.reason);
      else this.#sent(sim, event.frame);
    }
    this.#room.dropOldest();
  }

  /** The server did all that was due: what it has must be what the model has. */
  stable(): void {
    this.#room.stable();
  }

  /** There may be no room for a topic of that name, if it is made now. */
  mayBeRefused(topicName: string): boolean {
    return this.#room.isShortFor(topicName);
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
    this.#room.learn();
  }

  nextTurn(): number {
    return ++this.#turns;
  }

  /** A batch that a producer of the first version sent: where there is no room it is closed, for want of an answer. */
  oldRefusal(sim: SimProducer): void {
    const { closed } = sim.link.socket;
    if (closed?.code !== 4000 + EXHAUSTED || !closed.reason.includes(" is full: ")) return;
    this.#room.learn();
    this.refused(sim, sim.awaited.shift()!.sent, { code: EXHAUSTED, ranges: [] });
    sim.closes = 4000 + EXHAUSTED;
    this.ended(sim, false);
  }

  refused(sim: SimProducer, sent: Sent, refused: Refused): void {
    sim.producer.rejected.set(sent.seq, refused);
    if (refused.code === EXHAUSTED) this.#room.wasShort(sim.topic, sent, refused);
    const parts = refused.ranges.reduce((sum, { count }) => sum + count, 0);
    sim.topic.count("rejected", refused.code === OUT_OF_RANGE ? 1 : parts || sent.contents.length);
  }

  /**
   * Streams that the server gave up, or stopped: what they held returned before they were closed, behind all that
   * they were sent, and in the order in which they were closed.
   */
  #ends(events: readonly SocketEvent[]): End[] {
    const ends: End[] = [];
    for (const [index, event] of events.entries()) {
      if (event.kind !== "closed" || (event.code !== UNHEARD && event.code !== STOPPED)) continue;
      const sent = events.findLastIndex(({ socket }, at) => at < index && socket === event.socket);
      ends.push({ event, from: Math.max(sent + 1, ends.at(-1)?.from ?? 0) });
    }
    return ends;
  }

  #given({ event }: End): void {
    const { socket, code } = event;
    const sim = this.#sims.get(socket);
    if (sim === undefined) fail(`${socket.name} has no client`);
    if (code === STOPPED) {
      if (!this.stopping) fail(`${socket.name} was stopped`);
      sim.closes = STOPPED;
      this.ended(sim, sim.kind !== "producer");
      return;
    }
    const silent = this.#model.now - sim.lastSent;
    if (silent < (sim.old ? 40_000 : 45_000)) fail(`${socket.name} was given up after ${silent} ms`);
    sim.closes = UNHEARD;
    this.ended(sim, false);
  }

  #closed(sim: Sim, code: number, reason: string): void {
    if (sim.mayBeRefused && code === 4000 + EXHAUSTED && reason.includes("there is no room for topic"))
      this.#unopened(sim);
    if (sim.closes !== code) fail(`${sim.link.socket.name} was closed with ${code} (${reason})`);
    sim.closes = null;
    this.#sims.delete(sim.link.socket);
    // The socket tells its session that it is closed, as Bun does.
    this.#world.links.delete(sim.link);
    sim.link.session.closed(code);
  }

  /** There was no room for its topic, so that nothing came of it. */
  #unopened(sim: Sim): void {
    if (sim.kind === "producer") {
      sim.topic.producers.delete(sim.id);
      sim.topic.connectedProducers -= 1;
    } else this.ended(sim, true);
    sim.opens = null;
    sim.closes = 4000 + EXHAUSTED;
    if (!this.#world.broker.topics.has(sim.topic.name)) this.#model.topics.delete(sim.topic.name);
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
      this.#answered(sim, sim.awaited[0]!.sent.seq, "stored");
      return;
    }
    const { kind } = ProduceResponse.fromBinary(frame);
    if (kind.oneofKind === "opened") {
      same({ known: kind.opened.known, lastSeq: kind.opened.lastSeq }, sim.opens, "a producer's opened");
      sim.opens = null;
    } else if (kind.oneofKind === "acked") this.#answered(sim, kind.acked.seq, "stored");
    else if (kind.oneofKind === "rejected") {
      const { seq, code, messages } = kind.rejected;
      this.#answered(sim, seq, { code, ranges: messages.map(({ first, count }) => ({ first, count })) });
    } else if (kind.oneofKind !== "heartbeat") fail(`${kind.oneofKind} to a producer`);
  }

  #answered(sim: SimProducer, seq: number, answer: "stored" | Refused): void {
    const awaited = sim.awaited.shift();
    if (awaited?.sent.seq !== seq) fail(`${seq} was answered, awaited: ${awaited?.sent.seq}`);
    if (awaited.answer !== null) same(answer, awaited.answer, `the answer to ${seq}`);
    else if (answer !== "stored") same(answer.code, EXHAUSTED, `the code for ${seq}`);
    if (awaited.again) return;
    const { sent } = awaited;
    if (answer === "stored") this.#stored(sim, sent);
    else this.refused(sim, sent, answer);
    if (answer !== "stored" && answer.ranges.length > 0) this.#storedPartly(sim, sent, answer);
  }

  /** A batch was stored now, for the first time. */
  #stored(sim: SimProducer, { contents, delayMs, ttlMs, uniqueMs }: Sent): void {
    const fresh =
      uniqueMs > 0 ? contents.filter((content) => this.#takeId(sim.topic, content, uniqueMs)) : contents;
    sim.topic.count("duplicates", contents.length - fresh.length);
    sim.topic.store(fresh, delayMs, ttlMs);
  }

  /** Those that were not refused were stored, each by itself. */
  #storedPartly(sim: SimProducer, sent: Sent, { ranges }: Refused): void {
    const isRefused = (index: number) =>
      ranges.some(({ first, count }) => index >= first && index < first + count);
    for (const [index, content] of sent.contents.entries()) {
      if (!isRefused(index)) this.#stored(sim, { ...sent, contents: [content] });
    }
  }

  #takeId(topic: ModelTopic, { id }: Content, uniqueMs: number): boolean {
    if (topic.isTaken(id)) return false;
    topic.remember(id, uniqueMs);
    return true;
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
        if (sim.topic.holder !== null) fail(`${consumer.name} was promoted beside a holder`);
        same(sim.topic.standbys.shift()?.name, consumer.name, "the next in line");
        sim.topic.holder = consumer;
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
      case "settled":
        same(kind.settled.count, consumer.settled, `${consumer.name}: settled`);
        consumer.told = kind.settled.count;
        consumer.untoldSince = null;
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
      messages: [{ offset: -1, redelivered: false, deliveries: 0, message }],
    });
    // What it is sent, its program gets: it asks for one at a time.
    sim.consumer.handed = sim.consumer.lease.length;
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
    } else if (consumer.active && !consumer.blocked) {
      const { topic } = sim;
      const overlooked = topic.deliverable.filter((message) => topic.wasReady(message));
      if (overlooked.length > topic.undropped)
        fail(`${consumer.name} was told there are none: ${overlooked[0]!.body} was ready`);
    }
  }

  #delivered(sim: SimConsumer, { pullId, firstPosition, messages }: Delivered): void {
    const { consumer } = sim;
    const { topic } = sim;
    const pull = consumer.pulls[0];
    if (pull?.id !== pullId) fail(`${consumer.name}: pull ${pullId} was answered, the oldest is ${pull?.id}`);
    if (!consumer.active) fail(`${consumer.name} got messages and may take none`);
    if (consumer.blocked) fail(`${consumer.name} got messages and does not read`);
    this.#checkTurn(sim, pull.turn);
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
    const next = topic.deliverable[0];
    // What became ready in this step may not have been when it was delivered; what was dropped was not.
    if (next === undefined || !topic.wasReady(next) || topic.undropped > 0) return;
    if (bytes + next.size <= pull.bytes) fail(`${consumer.name}: ${next.body} was left behind`);
  }

  #checkTurn({ consumer, topic }: SimConsumer, turn: number): void {
    for (const other of topic.consumers) {
      if (!other.active || other.blocked) continue;
      if (other.pulls.some((pull) => pull.turn < turn))
        fail(`${consumer.name} got the messages of ${other.name}`);
    }
  }

  /** The model's messages of a delivery. They must be the next in order; those ready since now may be missing. */
  #match(sim: SimConsumer, topic: ModelTopic, messages: Delivered["messages"]): ModelMessage[] {
    let ready = topic.deliverable;
    let next = 0;
    return messages.map((delivered) => {
      for (; ; next++) {
        const candidate = ready[next];
        if (candidate !== undefined && this.#is(candidate, delivered, sim.old)) {
          next += 1;
          if (!sim.old) this.#checkRun(topic, candidate, delivered);
          return candidate;
        }
        if (candidate !== undefined && !topic.wasReady(candidate)) continue;
        if (topic.undropped === 0) {
          fail(`${text.decode(delivered.message.body)} came where ${candidate?.body ?? "nothing"} is next`);
        }
        // It was dropped, or an older one that nobody could get was.
        const taken = ready.slice(0, next);
        this.#room.drop(topic, 1, taken);
        ready = [...taken, ...topic.deliverable.filter((message) => !taken.includes(message))];
        next -= 1;
      }
    });
  }

  #is(candidate: ModelMessage, { message }: DeliveredMessage, old: boolean): boolean {
    const { id, body, headers } = candidate;
    if (message.id !== id || text.decode(message.body) !== body) return false;
    return old || Bun.deepEquals(message.headers, headers);
  }

  #checkRun(
    topic: ModelTopic,
    message: ModelMessage,
    { offset, redelivered, deliveries }: DeliveredMessage,
  ): void {
    same(redelivered, message.state === "returned", `redelivered of ${message.body}`);
    same(deliveries, message.deliveries, `deliveries of ${message.body}`);
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
      sim.told = kind.published.published + kind.published.count;
      for (const [index, { body }] of messages.entries()) {
        sim.seen.push([kind.published.published + index, text.decode(body)]);
      }
    } else if (kind.oneofKind === "count") same(kind.count.published, sim.told, "the running count");
    else fail("an unknown frame");
  }
}
