/** One run: clients, operators and time do what they are told, on the server and on the model. */
import { redrive } from "../../src/broker/redrive.ts";
import { topicInfo } from "../../src/broker/stats.ts";
import { World } from "../support/world.ts";
import { Actions } from "./actions.ts";
import { fail, same } from "./failure.ts";
import { memoryOf } from "./memory.ts";
import { Model } from "./model.ts";
import { Observer } from "./observer.ts";
import type { Operation, Setting } from "./operations.ts";
import { Producing } from "./producing.ts";
import type { Sim } from "./sims.ts";
import type { ModelTopic } from "./topic.ts";

const TOPICS = ["a", "b", "a.dead", "b.dead"];
const HEARTBEAT_EVERY = 10_000;
/** What a client may well send while the server's timers are late. */
const BEFORE_TIMERS: ReadonlySet<Operation["op"]> = new Set(["pull", "poll", "ack", "handed"]);
const CLEAN = { finish: true, code: 1000 };

export class Run {
  readonly world: World;
  readonly model: Model;
  readonly sims = new Map<unknown, Sim>();
  readonly #setting: Setting;
  readonly #observer: Observer;
  readonly #producing: Producing;
  readonly #actions: Actions;
  /** Time that has passed, of which the server has seen nothing. */
  #lagMs = 0;

  constructor(setting: Setting) {
    const { blink: _, late: __, ...limits } = setting;
    this.#setting = setting;
    this.world = new World({ ...limits, maxMessageBytes: 10_000 }, 1e9);
    this.model = new Model(this.world.broker.limits);
    this.model.wall = this.world.clock.wall();
    this.#observer = new Observer(this.world, this.model, this.sims);
    this.#producing = new Producing(this.world, this.model, this.sims, this.#observer);
    this.#actions = new Actions(this.world, this.model, this.sims, this.#observer, this.#producing);
  }

  /** Carries out one operation, and looks at what came of it. */
  async perform(operation: Operation): Promise<void> {
    if (!BEFORE_TIMERS.has(operation.op)) this.#catchUp();
    this.#begin();
    if (this.#lagMs > 0) this.#setTime(this.model.now + this.#lagMs);
    this.#lagMs = 0;
    switch (operation.op) {
      case "lag":
        this.#lagMs = operation.seconds * 1_000;
        break;
      case "advance":
        this.#wait(operation.seconds * 1_000);
        break;
      case "purge":
        this.#purge(TOPICS[operation.topic]!);
        break;
      case "redrive":
        await this.#redrive(TOPICS[operation.topic]!, operation.limit, operation.dead);
        break;
      case "restart":
        this.#restart(operation.seconds * 1_000);
        this.#look();
        // Some come back.
        this.#step(() => this.#producing.open("a", { op: "producer", id: 1, back: 0, broadcast: false }));
        this.#step(() => this.#actions.consumer("a", { op: "consumer", mode: operation.mode, id: 1 }));
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
    this.#catchUp();
    for (const sim of [...this.sims.values()]) {
      if (this.sims.has(sim.link.socket)) this.#step(() => this.#actions.end(sim, CLEAN));
    }
    this.#wait(100_000);
    // What dies waits for room, and that comes as the others go.
    for (let round = 0; round < 20 && this.#isAnythingLeft(); round++) {
      for (const name of TOPICS) this.#drain(name);
      this.#wait(2_000);
    }
    // In very little memory there is no room for a dead letter beside what it was.
    for (const name of TOPICS) this.#step(() => this.#purge(name));
    this.#wait(130_000);
    this.#wait(310_000);
    same([...this.world.broker.topics.keys()], [], "topics at the end");
    same(this.world.broker.memoryUsed, 0, "memory at the end");
    same(this.world.broker.shared.remembered, { producers: 0, uniqueIds: 0 }, "remembered at the end");
    same(this.world.broker.timers.waiting, 0, "timers at the end");
    this.world.broker.close();
  }

  #isAnythingLeft(): boolean {
    return [...this.model.topics.values()].some(({ messages }) => messages.length > 0);
  }

  #drain(name: string): void {
    if ((this.model.topics.get(name)?.deliverable.length ?? 0) === 0) return;
    this.#step(() => this.#actions.consumer(name, { op: "consumer", mode: 0, id: 0 }));
    const sim = [...this.sims.values()].find((one) => one.kind === "consumer");
    if (sim?.kind !== "consumer") fail(`nobody could open ${name} at the end`);
    for (let pulls = 0; sim.topic.deliverable.length > 0; pulls++) {
      if (pulls > 1_000) fail(`${name}: ${sim.topic.messages.length} messages do not come`);
      this.#step(() => this.#actions.pull(sim, { ack: sim.consumer.lease.length }));
    }
    this.#step(() => this.#actions.pull(sim, { ack: sim.consumer.lease.length }));
    this.#step(() => this.#actions.end(sim, CLEAN));
  }

  #step(act: () => void): void {
    this.#begin();
    act();
    this.#look();
  }

  #begin(): void {
    this.#advance(this.#setting.blink);
    this.model.step += 1;
  }

  /** What the server did is what the model says. */
  #look(): void {
    this.#observer.look();
    this.#runDue();
    this.#check();
    this.#observer.stable();
  }

  /** Time passes, and those who live send heartbeats. */
  #wait(ms: number): void {
    for (let left = ms; left > 0; left -= HEARTBEAT_EVERY) {
      this.#advance(Math.min(left, HEARTBEAT_EVERY));
      for (const sim of [...this.sims.values()]) {
        if (!sim.frozen && this.sims.has(sim.link.socket)) this.#step(() => this.#actions.heartbeat(sim));
      }
    }
  }

  #catchUp(): void {
    const ms = this.#lagMs;
    this.#lagMs = 0;
    this.#wait(ms);
  }

  #advance(ms: number): void {
    const end = this.model.now + ms;
    if (ms === 0) return;
    const { clock } = this.world;
    if (!this.#setting.late) {
      while (clock.nextDue <= end) this.#moveTo(clock.nextDue);
    }
    this.#moveTo(end);
  }

  /** Moves on to a moment, and does all that is due by then. */
  #moveTo(now: number): void {
    this.model.step += 1;
    this.#setTime(now);
    this.#look();
  }

  #setTime(now: number): void {
    this.model.wall += now - this.model.now;
    this.model.now = now;
    this.world.clock.skip(now - this.world.clock.now());
    for (const topic of this.model.topics.values()) topic.tick();
  }

  /** Turn by turn, until nothing is due any more. */
  #runDue(): void {
    const { clock } = this.world;
    for (let turns = 0; clock.nextDue <= clock.now(); turns++) {
      if (turns > 1_000) fail("there is something due for ever");
      clock.runNext();
      this.#observer.look();
    }
  }

  /** The server stops and writes a snapshot, which another restores `downMs` later. */
  #restart(downMs: number): void {
    this.#observer.stopping = true;
    this.world.stopStreams();
    this.#observer.look();
    this.#observer.stopping = false;
    this.model.wall += downMs;
    this.model.now += downMs;
    this.world.restart(downMs);
    this.model.restart();
    this.model.limits = this.world.broker.limits;
    for (const topic of this.model.topics.values()) topic.tick();
  }

  #purge(name: string): void {
    const topic = this.world.broker.topics.get(name);
    if (topic !== undefined) same(topic.purge(), this.model.topic(name).purge(), `purged of ${name}`);
  }

  async #redrive(name: string, limit: number, byDeadName: boolean): Promise<void> {
    const given = byDeadName ? `${name}.dead` : name;
    const { broker } = this.world;
    const isShort = this.#observer.mayBeRefused(name);
    const had = broker.topics.has(`${name}.dead`);
    const nothing = broker.topics.has(name) ? 0 : "NOT_FOUND";
    const moved = await redrive(broker, given, limit).catch((error) => error.code);
    if (!had) same(moved, nothing, "redrive without dead letters");
    else if (isShort && moved === "RESOURCE_EXHAUSTED") return;
    else same(moved, this.model.redrive(name, limit), `redriven to ${name}`);
  }

  #check(): void {
    same(this.world.failures, [], "failures");
    const { memoryUsed } = this.world.broker;
    const { least, most } = memoryOf(this.world, this.model, this.sims.values());
    if (memoryUsed < least || memoryUsed > most)
      fail(`${memoryUsed} are charged, there are ${least} to ${most}`);
    for (const sim of this.sims.values()) this.#checkSim(sim);
    for (const name of this.world.broker.topics.keys()) this.model.topic(name);
    for (const topic of this.model.topics.values()) this.#checkTopic(topic);
    same(this.world.broker.shared.counters, this.model.counters, "counters of all");
    const remembered = { producers: 0, uniqueIds: 0 };
    for (const { producers, unique } of this.model.topics.values()) {
      remembered.producers += producers.size;
      remembered.uniqueIds += unique.size;
    }
    same(this.world.broker.shared.remembered, remembered, "remembered");
  }

  #checkSim(sim: Sim): void {
    const { name } = sim.link.socket;
    same(sim.closes, null, `${name}: close code that did not come`);
    same(sim.opens, null, `${name}: opened that did not come`);
    const silent = this.model.now - sim.lastSent;
    if (silent > (this.#setting.late ? 56_000 : 46_000))
      fail(`${name} is open after ${silent} ms of silence`);
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
    if (
      !sim.old &&
      consumer.untoldSince !== null &&
      this.model.now - consumer.untoldSince > 5 &&
      !consumer.blocked
    )
      fail(`${name} was not told of what it settled`);
    if (!consumer.active || consumer.blocked) return;
    for (const pull of consumer.pulls) {
      if (pull.wait === 0) fail(`${name}: pull ${pull.id} was not answered`);
      if (pull.deadline <= this.model.now) fail(`${name}: pull ${pull.id} waits for too long`);
    }
    if (consumer.pulls.length === 0) return;
    const waiting = topic.deliverable.map(({ body }) => body);
    same(waiting, [], `${name}: messages that are ready while it waits`);
  }

  #checkTopic(topic: ModelTopic): void {
    topic.published = [];
    const actual = this.world.broker.topics.get(topic.name);
    if (actual === undefined) {
      this.#checkGone(topic);
      return;
    }
    // To look for room for dead letters makes their topic anew: it was removed and is there within one moment.
    if (topic.epoch !== "" && topic.epoch !== actual.epoch && this.#isIdleTooLong(topic)) {
      this.#checkGone(topic);
      this.model.topic(topic.name).epoch = actual.epoch;
      return;
    }
    topic.epoch = actual.epoch;
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
      heldMs: topicInfo(actual).heldMs,
    };
    same(
      found,
      {
        stored: topic.messages.length,
        leased: count("leased", "dying"),
        held: count("held"),
        ready: count("fresh", "returned"),
        delayed: topic.delayed.reduce((sum, { contents }) => sum + contents.length, 0),
        consumers: topic.consumers.length,
        standbys: topic.standbys.length,
        connected: topic.connectedProducers,
        remembered: topic.producers.size,
        subscribers: topic.subscribers,
        published: topic.publishedCount,
        heldMs: topic.blocker === undefined ? 0 : topic.blocker.heldUntil - this.model.now,
      },
      topic.name,
    );
    same(actual.backlog.returned.count, count("returned"), `${topic.name}: returned`);
    same(actual.tally.counters, topic.counters, `${topic.name}: counters`);
    if (topic.holder === null && topic.standbys.length > 0) fail(`${topic.name} has a line and no holder`);
    this.#checkIdle(topic);
  }

  #isIdleTooLong(topic: ModelTopic): boolean {
    const { now, limits } = this.model;
    return isUnused(topic) && topic.idleSince !== null && now - topic.idleSince >= limits.idleTopicTtlMs;
  }

  #checkIdle(topic: ModelTopic): void {
    if (!isUnused(topic)) topic.idleSince = null;
    else topic.idleSince ??= this.model.now;
    const idleFor = this.model.now - (topic.idleSince ?? this.model.now);
    // A dead letter may have come and been dropped, or its topic made anew, between two looks.
    const unseenMs = topic.name.endsWith(".dead") ? 10_000 : 0;
    if (idleFor > this.model.limits.idleTopicTtlMs + unseenMs)
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
    topic.unique.size === 0 &&
    topic.subscribers === 0
  );
}
