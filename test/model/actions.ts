/** What clients do in a run: the frame to the server, and the same to the model. */
import { ConnInit, Poll } from "../../src/gen/tinymq/v0/message.ts";
import {
  ConsumeMode,
  ConsumeRequest,
  ProduceRequest,
  SubscribeRequest,
} from "../../src/gen/tinymq/v1/queue.ts";
import { idBytes, type PullRequest } from "../support/clients.ts";
import type { Link, World } from "../support/world.ts";
import { ModelConsumer } from "./consumer.ts";
import type { ModelMessage } from "./message.ts";
import type { Model } from "./model.ts";
import type { Observer } from "./observer.ts";
import type { Of, Operation } from "./operations.ts";
import type { Producing } from "./producing.ts";
import type { Sim, SimConsumer, SimProducer } from "./sims.ts";

const INVALID = 3;
const MODES = ["exclusive", "standby", "shared"] as const;
const WIRE_MODES = [ConsumeMode.EXCLUSIVE, ConsumeMode.STANDBY, ConsumeMode.SHARED];
const DEFAULT_MESSAGES = 1_024;
const DEFAULT_BYTES = 256 * 1_024;
const ABNORMAL = 1006;

export class Actions {
  readonly #world: World;
  readonly #model: Model;
  readonly #sims: Map<unknown, Sim>;
  readonly #observer: Observer;
  readonly #producing: Producing;

  constructor(world: World, model: Model, sims: Map<unknown, Sim>, observer: Observer, producing: Producing) {
    this.#world = world;
    this.#model = model;
    this.#sims = sims;
    this.#observer = observer;
    this.#producing = producing;
  }

  perform(operation: Operation): void {
    switch (operation.op) {
      case "send":
        this.#withProducer(operation.who, (sim) => this.#producing.send(sim, operation));
        return;
      case "resend":
        this.#withProducer(operation.who, (sim) => this.#producing.resend(sim, operation.back));
        return;
      case "endProducer":
        this.#withProducer(operation.who, (sim) => this.end(sim, operation));
        return;
      case "pull":
        this.#withConsumer(operation.who, false, (sim) => this.#pullWith(sim, operation));
        return;
      case "poll":
        this.#withConsumer(operation.who, true, (sim) => this.#poll(sim));
        return;
      case "ack":
        this.#withConsumer(operation.who, false, (sim) =>
          this.#ack(sim, sim.consumer.lease.length - operation.back),
        );
        return;
      case "handed":
        this.#withConsumer(operation.who, false, (sim) =>
          this.#handed(sim, sim.consumer.lease.length - operation.back),
        );
        return;
      case "settle":
        this.#withConsumer(operation.who, false, (sim) => this.#settle(sim, operation));
        return;
      case "rewind":
        this.#withConsumer(operation.who, false, (sim) => this.#rewind(sim, operation));
        return;
      case "endConsumer":
        this.#with(
          operation.who,
          (sim) => sim.kind === "consumer",
          (sim) => this.end(sim, operation),
        );
        return;
      case "endSubscriber":
        this.#with(
          operation.who,
          (sim) => sim.kind === "subscriber",
          (sim) => this.end(sim, operation),
        );
        return;
      case "socket":
        this.#with(
          operation.who,
          (sim) => sim.kind !== "subscriber",
          (sim) => {
            if (operation.state === "frozen") sim.frozen = true;
            else sim.link.socket.state = operation.state;
          },
        );
        return;
      case "drain":
        this.#with(
          operation.who,
          (sim) => sim.link.socket.state === "slow",
          (sim) => {
            if (sim.kind === "consumer") sim.consumer.blocked = false;
            sim.link.drain();
          },
        );
        return;
      default:
        throw new Error(`${operation.op} is not for clients`);
    }
  }

  consumer(topicName: string, operation: Of<"consumer"> | Of<"oldConsumer">): void {
    const old = operation.op === "oldConsumer";
    const id = old || operation.id === 0 ? "" : `${operation.id}`;
    const mode = old ? "exclusive" : MODES[operation.mode]!;
    const topic = this.#model.topic(topicName);
    for (const ghost of topic.consumers) {
      if (id === "" || ghost.id !== id) continue;
      topic.leave(ghost, false);
      this.#simOf(ghost).closes = 4010;
    }
    const alone = topic.holder !== null || topic.standbys.length > 0;
    const refused =
      mode === "shared" ? alone : topic.shared.length > 0 || (mode === "exclusive" && topic.holder !== null);
    const link = old ? this.#world.connectFirstVersion("/") : this.#world.connect("Consume");
    const consumer = new ModelConsumer(topic, mode, id, link.socket.name);
    if (!refused) {
      if (mode === "shared") topic.shared.push(consumer);
      else if (topic.holder === null) topic.holder = consumer;
      else topic.standbys.push(consumer);
    }
    const sim: SimConsumer = {
      ...this.#base(link, topicName, old),
      kind: "consumer",
      consumer,
      opens: refused ? (old ? false : null) : consumer.active,
      rewinds: null,
      pulls: 0,
      closes: refused ? 4009 : null,
    };
    this.#sims.set(link.socket, sim);
    if (old) {
      link.receive(ConnInit.toBinary({ role: 2, topic: topicName }));
      return;
    }
    const consumerId = idBytes(id === "" ? null : Number(id));
    const open = { topic: topicName, token: "", mode: WIRE_MODES[MODES.indexOf(mode)]!, consumerId };
    link.receive(ConsumeRequest.toBinary({ kind: { oneofKind: "open", open } }));
  }

  subscriber(topicName: string): void {
    const topic = this.#model.topic(topicName);
    const link = this.#world.connect("Subscribe");
    topic.subscribers += 1;
    const base = this.#base(link, topicName, false);
    const told = topic.publishedCount;
    this.#sims.set(link.socket, { ...base, kind: "subscriber", opens: told, seen: [], told });
    const kind = { oneofKind: "open", open: { topic: topicName, token: "" } } as const;
    link.receive(SubscribeRequest.toBinary({ kind }));
  }

  /** The client goes, with a finish frame or without, with a close frame or (1006) without. */
  end(sim: Sim, { finish, code }: { finish: boolean; code: number }): void {
    // It may have ended in between.
    if (!this.#sims.has(sim.link.socket)) return;
    const clean = sim.old ? code !== ABNORMAL : finish;
    if (finish && !sim.old) this.#finish(sim);
    this.#sims.delete(sim.link.socket);
    if (sim.kind === "consumer" && sim.old && clean) this.#doneBelow(sim, sim.consumer.lease.length);
    this.#observer.ended(sim, clean);
    sim.link.end(code);
  }

  heartbeat(sim: Sim): void {
    sim.lastSent = this.#model.now;
    if (sim.old) sim.link.session.pong();
    else this.#sendAny(sim, { oneofKind: "heartbeat", heartbeat: {} });
  }

  pull(sim: SimConsumer, { max = 0, bytes = 0, wait = 0, ack, settles = [], handed }: PullRequest): void {
    const { consumer } = sim;
    sim.pulls += 1;
    consumer.handed = Math.max(consumer.handed, handed ?? 0);
    if (ack !== undefined) this.#doneBelow(sim, ack);
    for (const { position, count, delayMs = 0 } of settles) {
      for (const run of this.#take(consumer, position, position + count))
        sim.topic.giveBack(run, true, delayMs);
    }
    consumer.pulls.push({
      id: sim.pulls,
      turn: this.#observer.nextTurn(),
      max: max || DEFAULT_MESSAGES,
      bytes: bytes || DEFAULT_BYTES,
      wait,
      deadline: this.#model.now + wait,
    });
    this.#consume(sim, {
      oneofKind: "pull",
      pull: {
        pullId: sim.pulls,
        maxMessages: max,
        maxBytes: bytes,
        waitMs: wait,
        settles: settles.map((settle) => ({ reason: "", delayMs: 0, ...settle })),
        ...(ack === undefined ? {} : { ack: { count: ack } }),
        ...(handed === undefined ? {} : { handed: { count: handed } }),
      },
    });
  }

  #base(link: Link, topicName: string, old: boolean) {
    const topic = this.#model.topic(topicName);
    const mayBeRefused = this.#observer.mayBeRefused(topicName);
    return { link, topic, old, frozen: false, lastSent: this.#model.now, closes: null, mayBeRefused };
  }

  #finish(sim: Sim): void {
    this.#sendAny(sim, { oneofKind: "finish", finish: {} });
  }

  #sendAny(sim: Sim, kind: (ProduceRequest & ConsumeRequest & SubscribeRequest)["kind"]): void {
    if (sim.kind === "producer") sim.link.receive(ProduceRequest.toBinary({ kind }));
    else if (sim.kind === "consumer") sim.link.receive(ConsumeRequest.toBinary({ kind }));
    else sim.link.receive(SubscribeRequest.toBinary({ kind }));
  }

  #simOf(consumer: ModelConsumer): SimConsumer {
    for (const sim of this.#sims.values())
      if (sim.kind === "consumer" && sim.consumer === consumer) return sim;
    throw new Error(`${consumer.name} has no client`);
  }

  #with<T extends Sim>(who: number, is: (sim: Sim) => boolean, act: (sim: T) => void): void {
    const some = [...this.#sims.values()].filter((sim) => !sim.frozen && is(sim));
    if (some.length > 0) act(some[who % some.length] as T);
  }

  #withProducer(who: number, act: (sim: SimProducer) => void): void {
    this.#with<SimProducer>(who, (sim) => sim.kind === "producer", act);
  }

  #withConsumer(who: number, old: boolean, act: (sim: SimConsumer) => void): void {
    this.#with<SimConsumer>(who, (sim) => sim.kind === "consumer" && sim.old === old, act);
  }

  #consume(sim: SimConsumer, kind: ConsumeRequest["kind"]): void {
    sim.lastSent = this.#model.now;
    sim.link.receive(ConsumeRequest.toBinary({ kind }));
  }

  /** Takes positions out of the lease to settle them: those below were handed to the program, too. */
  #take(consumer: ModelConsumer, from: number, to: number): ModelMessage[][] {
    const runs = consumer.take(from, to);
    consumer.handed = Math.max(consumer.handed, to);
    consumer.settle(runs.reduce((sum, run) => sum + run.length, 0));
    return runs;
  }

  #doneBelow(sim: SimConsumer, count: number): void {
    for (const run of this.#take(sim.consumer, 0, count)) sim.topic.done(run);
  }

  #pullWith(sim: SimConsumer, { max, bytes, wait, ack, retry, handed }: Of<"pull">): void {
    const { length } = sim.consumer.lease;
    if (sim.consumer.pulls.length >= 64) return;
    const request: PullRequest = { max, bytes, wait: wait * 1_000 };
    if (ack <= length) request.ack = length - ack;
    if (handed <= length) request.handed = length - handed;
    if (retry && length > 0) request.settles = [{ position: length - 1, count: 1, outcome: 1 }];
    this.pull(sim, request);
  }

  #poll(sim: SimConsumer): void {
    // It has one answer at a time; one that polls without reading is no client of the first version.
    if (sim.consumer.pulls.length > 0) return;
    this.#doneBelow(sim, sim.consumer.lease.length);
    const turn = this.#observer.nextTurn();
    const pull = { id: 0, turn, max: 1, bytes: 2 ** 20, wait: 0, deadline: this.#model.now };
    sim.consumer.pulls.push(pull);
    sim.lastSent = this.#model.now;
    sim.link.receive(Poll.toBinary({ topic: "" }));
  }

  #ack(sim: SimConsumer, count: number): void {
    if (count < 0) return;
    if (count > sim.consumer.lease.length) this.#misused(sim);
    else this.#doneBelow(sim, count);
    this.#consume(sim, { oneofKind: "ack", ack: { count } });
  }

  #handed(sim: SimConsumer, count: number): void {
    if (count < 0) return;
    const { consumer } = sim;
    if (count > consumer.lease.length) this.#misused(sim);
    else consumer.handed = Math.max(consumer.handed, count);
    this.#consume(sim, { oneofKind: "handed", handed: { count } });
  }

  #settle(sim: SimConsumer, { back, count, outcome, delay }: Of<"settle">): void {
    const { consumer, topic } = sim;
    const position = Math.max(0, consumer.lease.length - back);
    const many = Math.min(count, consumer.lease.length - position);
    for (const run of this.#take(consumer, position, position + many)) {
      if (outcome === 0) topic.done(run);
      else if (outcome === 1) topic.giveBack(run, true, delay * 1_000, true, "why");
      else topic.reject(run, "why");
    }
    const settle = { position, count: many, outcome, reason: "why", delayMs: delay * 1_000 };
    this.#consume(sim, { oneofKind: "settle", settle });
  }

  #rewind(sim: SimConsumer, { back, delay }: Of<"rewind">): void {
    const { consumer, topic } = sim;
    const position = Math.max(0, consumer.lease.length - back);
    const rewind = { position, reason: "again", delayMs: delay * 1_000 };
    if (consumer.mode === "shared" && delay > 0) {
      sim.closes = 4009;
      this.#observer.ended(sim, false);
      this.#consume(sim, { oneofKind: "rewind", rewind });
      return;
    }
    sim.rewinds = position;
    for (const run of consumer.take(position, position + 1))
      topic.giveBack(run, true, rewind.delayMs, false, "again");
    for (const run of consumer.take(position, consumer.lease.length)) topic.giveBack(run, false);
    this.#consume(sim, { oneofKind: "rewind", rewind });
  }

  #misused(sim: SimConsumer): void {
    sim.closes = 4000 + INVALID;
    this.#observer.ended(sim, false);
  }
}
