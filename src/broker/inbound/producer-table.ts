/** The producers of one topic: those connected, and those remembered after a cut, so that they can send again. */
import { TinyMQError } from "../../errors.ts";
import type { ProducerPort } from "../ports.ts";
import type { Timer } from "../timers.ts";
import type { Shared } from "../topic-host.ts";
import { type ProducedTopic, TopicProducer } from "./topic-producer.ts";

/** What the table needs of its topic. */
export interface TableTopic extends ProducedTopic {
  /** Somebody came, went or was forgotten. */
  changed(): void;
}

/** What an open frame of a producer says. */
export interface OpeningProducer {
  /** "": one that is not remembered. */
  readonly id: string;
  readonly firstSeq: number;
  readonly broadcast: boolean;
  /** Whether it may have sent to this instance of the server before. */
  readonly hasPast: boolean;
}

/** What an open frame of a producer is answered with. */
export interface OpenedProducer {
  readonly producer: TopicProducer;
  readonly known: boolean;
}

export class ProducerTable {
  readonly #topic: TableTopic;
  readonly #shared: Shared;
  #byId: Map<string, TopicProducer> | null = null;
  /** When producers without a connection are forgotten. */
  #forgetting: Map<TopicProducer, Timer> | null = null;
  /** Producers with a connection. */
  connected = 0;
  /** Bytes of the refusals that are remembered. */
  memory = 0;

  constructor(topic: TableTopic, shared: Shared) {
    this.#topic = topic;
    this.#shared = shared;
  }

  /** Producers with an id, connected or not. */
  get remembered(): number {
    return this.#byId?.size ?? 0;
  }

  /** Opens a stream of a producer. */
  open({ id, firstSeq, broadcast, hasPast }: OpeningProducer, port: ProducerPort): OpenedProducer {
    const existing = id === "" ? undefined : this.#byId?.get(id);
    const producer = existing ?? new TopicProducer(this.#topic, id, firstSeq - 1, broadcast, port);
    if (existing !== undefined) this.#reopen(existing, firstSeq, broadcast, port);
    else if (id !== "") this.#remember(producer);
    this.connected += 1;
    this.#topic.changed();
    const { known } = producer;
    // Nothing that it sent here can have been forgotten.
    if (!hasPast) producer.known = true;
    return { producer, known };
  }

  /** A stream ended: a producer that ended it cleanly is forgotten at once, as is one whose refusals take too much. */
  close(producer: TopicProducer, port: ProducerPort, clean: boolean): void {
    // It has another connection by now.
    if (producer.port !== port) return;
    this.#detach(producer);
    if (producer.id === "" || clean || producer.remembersTooMuch()) this.#forget(producer);
    else this.#forgetLater(producer);
    this.#topic.changed();
  }

  /** The topic is gone. */
  forgetAll(): void {
    for (const producer of this.#byId?.values() ?? []) this.#forget(producer);
  }

  /** A producer of a snapshot, even above the limit: not connected, forgotten later. */
  restore(id: string, lastSeq: number): TopicProducer {
    const producer = new TopicProducer(this.#topic, id, lastSeq, false, null);
    producer.known = true;
    this.#remember(producer, Number.POSITIVE_INFINITY);
    this.#forgetLater(producer);
    return producer;
  }

  /** Those with an id. */
  items(): Iterable<TopicProducer> {
    return this.#byId?.values() ?? [];
  }

  #reopen(existing: TopicProducer, firstSeq: number, broadcast: boolean, port: ProducerPort): void {
    const older = existing.port;
    if (older !== null) {
      this.#detach(existing);
      older.close(new TinyMQError("ABORTED", "this producer opened another connection"));
    }
    this.#keep(existing);
    existing.reopen(firstSeq, broadcast, port);
  }

  #remember(producer: TopicProducer, most = this.#shared.limits.maxProducers): void {
    const { remembered } = this.#shared;
    if (remembered.producers >= most) {
      throw new TinyMQError(
        "RESOURCE_EXHAUSTED",
        `the server remembers ${most} producers and has no room for more: close some, or try later`,
      );
    }
    this.#byId ??= new Map();
    this.#byId.set(producer.id, producer);
    remembered.producers += 1;
  }

  #detach(producer: TopicProducer): void {
    producer.port = null;
    this.connected -= 1;
  }

  #forgetLater(producer: TopicProducer): void {
    const { timers, limits } = this.#shared;
    this.#forgetting ??= new Map();
    const timer = timers.after(limits.producerMemoryMs, () => {
      this.#forget(producer);
      this.#topic.changed();
    });
    this.#forgetting.set(producer, timer);
  }

  #keep(producer: TopicProducer): void {
    this.#shared.timers.cancel(this.#forgetting?.get(producer) ?? null);
    this.#forgetting?.delete(producer);
  }

  #forget(producer: TopicProducer): void {
    this.#keep(producer);
    this.#topic.remembers(producer.memory, 0);
    if (this.#byId?.delete(producer.id)) this.#shared.remembered.producers -= 1;
  }
}
