/** One run: clients, operators and time do what they are told, on the server and on the model. */
import { redrive } from "../../src/broker/redrive.ts";
import type { PullRequest } from "../support/clients.ts";
import { World } from "../support/world.ts";
import { Actions } from "./actions.ts";
import { fail, same } from "./failure.ts";
import { Model, type ModelTopic } from "./model.ts";
import { Observer } from "./observer.ts";
import type { Operation, Setting } from "./operations.ts";
import { Producing } from "./producing.ts";
import type { Sim } from "./sims.ts";

const TOPICS = ["a", "b", "a.dead", "b.dead"];
/** Time between two operations, in ms: so small a part of a second that nothing is due at the same time. */
const BLINK = 1 / 64;
const HEARTBEAT_EVERY = 10_000;

export class Run {
  readonly world: World;
  readonly model: Model;
  readonly sims = new Map<unknown, Sim>();
  readonly #observer: Observer;
  readonly #producing: Producing;
  readonly #actions: Actions;

  constructor({ maxMemory, overflow, maxDeliveries }: Setting) {
    this.world = new World({ maxMemory, overflow, maxDeliveries, maxMessageBytes: 10_000 }, 1e9);
    this.model = new Model(this.world.broker.limits);
    this.model.wall = this.world.clock.wall();
    this.#observer = new Observer(this.world, this.model, this.sims);
    this.#producing = new Producing(this.world, this.model, this.sims, this.#observer);
    this.#actions = new Actions(this.world, this.model, this.sims, this.#observer, this.#producing);
  }

  /** Carries out one operation, and looks at what came of it. */
  async perform(operation: Operation): Promise<void> {
    this.#advance(BLINK);
    this.model.step += 1;
    switch (operation.op) {
      case "advance":
        this.#wait(operation.seconds * 1_000);
        break;
      case "purge":
        this.#purge(TOPICS[operation.topic]!);
        break;
      case "redrive":
        await this.#redrive(TOPICS[operation.topic]!, operation.limit);
        break;
      case "consumer":
      case "oldConsumer":
        this.#actions.consumer(TOPICS[operation.topic]!, operation);
        break;
      case "producer":
      case "oldProducer":
        this.#producing.open(TOPICS[operation.topic]!, operation);
        break;
      case "subscriber":
        this.#actions.subscriber(TOPICS[operation.topic]!);
        break;
      default:
        this.#actions.perform(operation);
    }
    this.#look();
  }

  /** Everything is consumed and everybody goes: nothing may be left. */
  finish(): void {
    this.#look();
    for (const sim of [...this.sims.values()]) this.#step(() => this.#actions.end(sim, true));
    this.#wait(100_000);
    for (const name of TOPICS) this.#drain(name);
    this.#wait(130_000);
    this.#wait(310_000);
    same(this.world.broker.topics.size, 0, "topics at the end");
    same(this.world.broker.memoryUsed, 0, "memory at the end");
    same(this.world.broker.shared.remembered, { producers: 0, uniqueIds: 0 }, "remembered at the end");
    same(this.world.broker.timers.waiting, 0, "timers at the end");
    this.world.broker.close();
  }

  #drain(name: string): void {
    this.#step(() => this.#actions.consumer(name, { op: "consumer", mode: 0, id: 0 }));
    const sim = [...this.sims.values()].find((one) => one.kind === "consumer");
    if (sim?.kind !== "consumer") fail(`nobody could open ${name} at the end`);
    for (let pulls = 0; sim.consumer.topic.messages.length > 0; pulls++) {
      if (pulls > 1_000) fail(`${name}: ${sim.consumer.topic.messages.length} messages do not come`);
      const request: PullRequest = { ack: sim.consumer.lease.length };
      this.#step(() => this.#actions.pull(sim, request));
      this.#advance(BLINK);
    }
    this.#step(() => this.#actions.end(sim, true));
  }

  #step(act: () => void): void {
    this.#advance(BLINK);
    this.model.step += 1;
    act();
    this.#look();
  }

  /** What the server did is what the model says. */
  #look(): void {
    this.#observer.look();
    this.#check();
  }

  /** Time passes, and those who live send heartbeats. */
  #wait(ms: number): void {
    for (let left = ms; left > 0; left -= HEARTBEAT_EVERY) {
      this.#advance(Math.min(left, HEARTBEAT_EVERY));
      for (const sim of [...this.sims.values()]) {
        this.#advance(BLINK);
        if (!sim.frozen && this.sims.has(sim.link.socket)) this.#actions.heartbeat(sim);
      }
    }
  }

  #advance(ms: number): void {
    const end = this.model.now + ms;
    if (this.world.clock.nextDue <= end) this.#look();
    while (this.world.clock.nextDue <= end) {
      this.#moveTo(this.world.clock.nextDue);
      for (const topic of this.model.topics.values()) topic.tick();
      this.world.clock.runNext();
      this.#look();
    }
    this.world.clock.advance(end - this.world.clock.now());
    this.#moveTo(end);
  }

  #moveTo(now: number): void {
    this.model.step += 1;
    this.model.wall += now - this.model.now;
    this.model.now = now;
  }

  #purge(name: string): void {
    const topic = this.world.broker.topics.get(name);
    if (topic !== undefined) same(topic.purge(), this.model.topic(name).purge(), `purged of ${name}`);
  }

  async #redrive(name: string, limit: number): Promise<void> {
    if (!this.world.broker.topics.has(`${name}.dead`)) {
      const refused = await redrive(this.world.broker, name, limit).catch((error) => error.code);
      same(refused, "NOT_FOUND", "redrive without dead letters");
      return;
    }
    const moved = this.model.redrive(name, limit);
    same(await redrive(this.world.broker, name, limit), moved, `redriven to ${name}`);
  }

  #check(): void {
    same(this.world.failures, [], "failures");
    same(this.world.broker.memoryUsed, this.world.memoryHeld, "memory used");
    for (const sim of this.sims.values()) this.#checkSim(sim);
    for (const name of this.world.broker.topics.keys()) this.model.topic(name);
    for (const topic of this.model.topics.values()) this.#checkTopic(topic);
  }

  #checkSim(sim: Sim): void {
    const { name } = sim.link.socket;
    same(sim.closes, null, `${name}: close code that did not come`);
    same(sim.opens, null, `${name}: opened that did not come`);
    const silent = this.model.now - sim.lastSent;
    if (silent > 46_000) fail(`${name} is open after ${silent} ms of silence`);
    if (sim.kind === "producer") same(sim.awaited.length, 0, `${name}: answers that did not come`);
    if (sim.kind === "subscriber") {
      const wanted = sim.topic.published.flatMap(({ before, bodies }) =>
        bodies.map((body, at) => [before + at, body]),
      );
      same(sim.seen, wanted, `${name}: published`);
      sim.seen = [];
    }
    if (sim.kind !== "consumer") return;
    same(sim.rewinds, null, `${name}: rewound that did not come`);
    const { consumer, topic } = sim;
    if (!consumer.active || consumer.blocked) return;
    for (const pull of consumer.pulls) {
      if (pull.wait === 0) fail(`${name}: pull ${pull.id} was not answered`);
      if (pull.deadline <= this.model.now) fail(`${name}: pull ${pull.id} waits for too long`);
    }
    if (consumer.pulls.length > 0 && topic.pausedUntil <= this.model.now) {
      same(
        topic.ready.map(({ body }) => body),
        [],
        `${name}: messages that are ready while it waits`,
      );
    }
  }

  #checkTopic(topic: ModelTopic): void {
    topic.published = [];
    const actual = this.world.broker.topics.get(topic.name);
    if (actual === undefined) {
      this.#checkGone(topic);
      return;
    }
    const count = (...states: Parameters<ModelTopic["inState"]>) => topic.inState(...states).length;
    const found = {
      stored: actual.backlog.log.count,
      leased: actual.backlog.leased,
      held: actual.backlog.heldBack?.count ?? 0,
      ready: actual.ready,
      delayed: actual.acceptor.delays?.count ?? 0,
      consumers: actual.dispatcher.consumers,
      standbys: actual.dispatcher.standbys,
      connected: actual.producers.connected,
      remembered: actual.producers.remembered,
      subscribers: actual.subscribers,
      published: actual.published,
    };
    same(
      found,
      {
        stored: topic.messages.length,
        leased: count("leased"),
        held: count("held"),
        ready: count("fresh", "returned"),
        delayed: topic.delayed.reduce((sum, { contents }) => sum + contents.length, 0),
        consumers: topic.consumers.length,
        standbys: topic.standbys.length,
        connected: topic.connectedProducers,
        remembered: topic.producers.size,
        subscribers: topic.subscribers,
        published: topic.publishedCount,
      },
      topic.name,
    );
    same(actual.backlog.returned.count, count("returned"), `${topic.name}: returned`);
    same(actual.tally.counters, topic.counters, `${topic.name}: counters`);
    same(this.world.broker.shared.counters, this.model.counters, "counters of all");
    if (topic.holder === null && topic.standbys.length > 0) fail(`${topic.name} has a line and no holder`);
    this.#checkIdle(topic, (actual.acceptor.unique?.count ?? 0) === 0);
  }

  #checkIdle(topic: ModelTopic, noIds: boolean): void {
    const isIdle = isUnused(topic) && noIds;
    if (!isIdle) topic.idleSince = null;
    else topic.idleSince ??= this.model.now;
    const idleFor = this.model.now - (topic.idleSince ?? this.model.now);
    if (idleFor > this.model.limits.idleTopicTtlMs)
      fail(`${topic.name} is idle for ${idleFor} ms and still there`);
  }

  #checkGone(topic: ModelTopic): void {
    if (!isUnused(topic)) fail(`${topic.name} is gone and was in use`);
    const idleFor = this.model.now - (topic.idleSince ?? this.model.now);
    if (idleFor < this.model.limits.idleTopicTtlMs) fail(`${topic.name} is gone after ${idleFor} ms`);
    this.model.topics.delete(topic.name);
  }
}

function isUnused(topic: ModelTopic): boolean {
  return (
    topic.messages.length === 0 &&
    topic.delayed.length === 0 &&
    topic.consumers.length === 0 &&
    topic.connectedProducers === 0 &&
    topic.producers.size === 0 &&
    topic.subscribers === 0
  );
}
