/**
 * A broker's queued messages as records, and a broker filled from records. Files are read and written in the
 * server.
 *
 * Times in records are ms since 1970, for time passes while no server runs.
 */
import { CODE_NUMBERS, codeFromNumber, TinyMQError } from "../errors.ts";
import type {
  SnapshotDelayed,
  SnapshotMessages,
  SnapshotProducer,
  SnapshotRecord,
  SnapshotTopic,
} from "../gen/tinymq/v1/snapshot.ts";
import type { Log } from "../log/log.ts";
import { concatBytes } from "../wire/bytes.ts";
import type { Clock } from "../wire/clock.ts";
import { MiB } from "../wire/limits.ts";
import { skipEntries } from "../wire/scan.ts";
import type { Broker } from "./broker.ts";
import type { TopicProducer } from "./inbound/topic-producer.ts";
import type { MessageRange } from "./ports.ts";
import type { Topic } from "./topic.ts";

const CHUNK_MESSAGES = 8_192;
const CHUNK_BYTES = MiB;
const IDS_A_RECORD = 10_000;

type Kind = SnapshotRecord["kind"];

/** Everything that must outlive the server, topic by topic. No stream may be open. */
export function* takeSnapshot(broker: Broker, version: string): Generator<SnapshotRecord> {
  const writtenAt = broker.clock.wall();
  yield record({ oneofKind: "head", head: { instance: broker.instance, writtenAt, version } });
  let topics = 0;
  let messages = 0;
  for (const topic of broker.topics.values()) {
    const kept = topic.queued;
    if (kept === 0 && topic.producers.remembered === 0 && (topic.acceptor.unique?.count ?? 0) === 0) continue;
    topics += 1;
    messages += kept;
    yield record({
      oneofKind: "topic",
      topic: { name: topic.name, nextOffset: topic.backlog.log.nextOffset, cursor: topic.backlog.cursor },
    });
    yield* topicRecords(topic, broker.clock);
  }
  yield record({ oneofKind: "tail", tail: { topics, messages } });
}

function* topicRecords(topic: Topic, clock: Clock): Generator<SnapshotRecord> {
  const at = (time: number) => wallTime(clock, time);
  yield* messageRecords(topic, clock);
  for (const { due, first, end } of topic.backlog.expiry?.items() ?? []) {
    yield record({
      oneofKind: "expiry",
      expiry: { firstOffset: first, count: end - first, expiresAt: at(due) },
    });
  }
  for (const { due, expires, count, batch } of topic.acceptor.delays?.items() ?? []) {
    const expiresAt = expires === Number.POSITIVE_INFINITY ? 0 : at(expires);
    yield record({ oneofKind: "delayed", delayed: { dueAt: at(due), expiresAt, count, batch } });
  }
  for (const producer of topic.producers.items()) {
    // Restored, it would count as known, and what it sent before it was forgotten would be stored a second time.
    if (!producer.known) continue;
    yield record({ oneofKind: "producer", producer: producerRecord(producer) });
  }
  const ids = [...(topic.acceptor.unique?.items() ?? [])];
  for (let from = 0; from < ids.length; from += IDS_A_RECORD) {
    const some = ids.slice(from, from + IDS_A_RECORD);
    const uniqueIds = { ids: some.map(([id]) => id), until: some.map(([, until]) => at(until)) };
    yield record({ oneofKind: "uniqueIds", uniqueIds });
  }
}

/** The fields of a record of messages that tell their state. */
type State = Omit<SnapshotMessages, "firstOffset" | "count" | "batch">;

const FRESH: State = {
  returned: false,
  deliveries: 0,
  heldUntil: 0,
  holdsTopic: false,
  dying: false,
  reason: "",
};

/** The messages in order of offset, a record for each stretch that is in one state. */
function* messageRecords({ backlog, returns }: Topic, clock: Clock): Generator<SnapshotRecord> {
  const given: { first: number; end: number; state: State }[] = [];
  const until = (time: number) => (time === 0 ? 0 : wallTime(clock, time));
  for (const { first, end, deliveries, due } of backlog.returned) {
    const held = { heldUntil: until(due), holdsTopic: due > 0 };
    given.push({ first, end, state: { ...FRESH, returned: true, deliveries, ...held } });
  }
  for (const { first, end, deliveries, due } of backlog.heldBack ?? []) {
    given.push({ first, end, state: { ...FRESH, returned: true, deliveries, heldUntil: until(due) } });
  }
  for (const { first, end, deliveries, reason } of returns.deaths ?? []) {
    given.push({ first, end, state: { ...FRESH, deliveries, dying: true, reason } });
  }
  given.sort((one, other) => one.first - other.first);
  for (const { first, end, state } of given) yield* chunkRecords(backlog.log, first, end, state);
  yield* chunkRecords(backlog.log, backlog.cursor, backlog.log.nextOffset, FRESH);
}

/** The messages of the offsets [first, end), a record for each run of consecutive ones. */
function* chunkRecords(log: Log, first: number, end: number, state: State): Generator<SnapshotRecord> {
  for (let from = first; from < end; ) {
    const found = log.read(from, CHUNK_MESSAGES, CHUNK_BYTES, end);
    if (found === null) return;
    const entries = concatBytes(found.parts);
    let start = 0;
    for (const { firstOffset, count } of found.runs) {
      const stop = skipEntries(entries, start, count);
      const batch = entries.subarray(start, stop);
      yield record({ oneofKind: "messages", messages: { firstOffset, count, batch, ...state } });
      start = stop;
    }
    from = found.nextOffset;
  }
}

/** Fills an empty broker from the records of a snapshot; returns how many messages it holds then. */
export class SnapshotReader {
  readonly #broker: Broker;
  /** Of the server that wrote it. */
  version = "";
  #topic: Topic | null = null;
  /** Read before its topic's messages, and used after them. */
  #nextOffset = 0;
  #messages = 0;
  #topics = 0;
  #complete = false;

  constructor(broker: Broker) {
    this.#broker = broker;
  }

  /** Takes the next record. Throws DATA_LOSS if it cannot stand there. */
  take({ kind }: SnapshotRecord): void {
    switch (kind.oneofKind) {
      case "head":
        this.#broker.instance = kind.head.instance;
        this.version = kind.head.version;
        return;
      case "topic":
        this.#finishTopic();
        this.#begin(kind.topic);
        return;
      case "messages":
        this.#restoreMessages(this.#current(), kind.messages);
        return;
      case "delayed":
        this.#restoreDelayed(this.#current(), kind.delayed);
        return;
      case "expiry": {
        const topic = this.#current();
        const { firstOffset, count, expiresAt } = kind.expiry;
        topic.backlog.expire(firstOffset, count, ownTime(this.#broker.clock, expiresAt));
        return;
      }
      case "producer":
        restoreProducer(this.#current(), kind.producer);
        return;
      case "uniqueIds": {
        const topic = this.#current();
        for (const [index, id] of kind.uniqueIds.ids.entries()) {
          const until = ownTime(this.#broker.clock, kind.uniqueIds.until[index] ?? 0);
          topic.acceptor.restoreUnique(id, until);
        }
        return;
      }
      case "tail":
        this.#finishTopic();
        if (kind.tail.topics !== this.#topics || kind.tail.messages !== this.#messages) {
          throw new TinyMQError("DATA_LOSS", "it has not as many topics and messages as it says");
        }
        this.#complete = true;
        return;
      default:
        throw new TinyMQError(
          "DATA_LOSS",
          "it has a record of an unknown kind: a newer version may have written it",
        );
    }
  }

  /** How many messages were restored. Throws DATA_LOSS if the last record is missing. */
  finish(): number {
    if (!this.#complete) throw new TinyMQError("DATA_LOSS", "its last record is missing");
    return this.#messages;
  }

  #current(): Topic {
    if (this.#topic === null) throw new TinyMQError("DATA_LOSS", "a record stands before its topic");
    return this.#topic;
  }

  #begin({ name, nextOffset, cursor }: SnapshotTopic): void {
    this.#topic = this.#broker.restoreTopic(name);
    this.#topic.backlog.cursor = cursor;
    this.#nextOffset = nextOffset;
    this.#topics += 1;
  }

  #finishTopic(): void {
    if (this.#topic === null) return;
    // Offsets continue where they were, even if the last messages are consumed.
    this.#topic.backlog.log.append(new Uint8Array(0), 0, this.#nextOffset);
    this.#topic.changed();
    this.#topic = null;
  }

  #restoreMessages(topic: Topic, messages: SnapshotMessages): void {
    const { backlog } = topic;
    const { firstOffset, count, batch, returned, deliveries, holdsTopic, dying, reason } = messages;
    const end = firstOffset + count;
    backlog.log.append(batch, count, firstOffset);
    this.#messages += count;
    const { clock } = this.#broker;
    const heldUntil = messages.heldUntil > clock.wall() ? ownTime(clock, messages.heldUntil) : 0;
    if (dying) topic.returns.restoreDying({ first: firstOffset, end, deliveries, reason });
    else if (returned) {
      const hold = { until: heldUntil, alone: !holdsTopic, tight: false };
      backlog.addReturned(firstOffset, end, deliveries, hold);
    }
  }

  #restoreDelayed({ acceptor }: Topic, { dueAt, expiresAt, count, batch }: SnapshotDelayed): void {
    const expires = expiresAt === 0 ? Number.POSITIVE_INFINITY : ownTime(this.#broker.clock, expiresAt);
    acceptor.delay({ batch, count, due: ownTime(this.#broker.clock, dueAt), expires });
    this.#messages += count;
  }
}

function producerRecord(producer: TopicProducer): SnapshotProducer {
  const rejections = [...producer.rejections()].map(([seq, { code, message, messages }]) => ({
    seq,
    code: CODE_NUMBERS[code],
    message,
    ranges: messages.flatMap(({ first, count }) => [first, count]),
  }));
  return { id: producer.id, lastSeq: producer.answeredSeq, rejections };
}

function restoreProducer(topic: Topic, { id, lastSeq, rejections }: SnapshotProducer): void {
  const producer = topic.producers.restore(id, lastSeq);
  for (const { seq, code, message, ranges } of rejections) {
    const messages: MessageRange[] = [];
    for (let at = 0; at < ranges.length; at += 2)
      messages.push({ first: ranges[at]!, count: ranges[at + 1]! });
    producer.remember(seq, { code: codeFromNumber(code), message, messages });
  }
}

function record(kind: Kind): SnapshotRecord {
  return { kind };
}

/** A time of the broker's clock as ms since 1970. */
function wallTime(clock: Clock, time: number): number {
  return Math.max(0, Math.round(clock.wall() + time - clock.now()));
}

/** A time in ms since 1970 by the broker's clock. */
function ownTime(clock: Clock, wall: number): number {
  return clock.now() + wall - clock.wall();
}
