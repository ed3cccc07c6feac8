/**
 * A broker's queued messages as records, and a broker filled from records. Files are the server's matter.
 *
 * Times are told as ms since 1970: they go on while no server runs.
 */

import { CODE_NUMBERS, codeFromNumber, TinyMQError } from "../errors.ts";
import type {
  SnapshotDelayed,
  SnapshotMessages,
  SnapshotProducer,
  SnapshotRecord,
  SnapshotTopic,
} from "../gen/tinymq/v1/snapshot.ts";
import { concatBytes } from "../wire/bytes.ts";
import { MiB } from "../wire/limits.ts";
import type { Broker } from "./broker.ts";
import { delaysOf } from "./inbound/accept.ts";
import { Expiry } from "./inbound/expiry.ts";
import type { Producer } from "./inbound/producers.ts";
import { UniqueIds } from "./inbound/unique.ts";
import { HeldBack } from "./outbound/held-back.ts";
import type { Topic } from "./topic.ts";

const CHUNK_MESSAGES = 8_192;
const CHUNK_BYTES = MiB;
const IDS_A_RECORD = 10_000;

type Kind = SnapshotRecord["kind"];

/** Everything that must outlive the server, topic by topic. No stream may be open. */
export async function* takeSnapshot(broker: Broker, version: string): AsyncGenerator<SnapshotRecord> {
  const writtenAt = broker.clock.wall();
  yield record({ oneofKind: "head", head: { instance: broker.instance, writtenAt, version } });
  let topics = 0;
  let messages = 0;
  for (const topic of broker.topics.values()) {
    const kept = topic.log.count + (topic.delays?.count ?? 0);
    if (kept === 0 && topic.producers.remembered === 0 && (topic.unique?.memory ?? 0) === 0) continue;
    topics += 1;
    messages += kept;
    yield record({
      oneofKind: "topic",
      topic: { name: topic.name, nextOffset: topic.log.nextOffset, cursor: topic.cursor },
    });
    yield* topicRecords(topic);
  }
  yield record({ oneofKind: "tail", tail: { topics, messages } });
}

async function* topicRecords(topic: Topic): AsyncGenerator<SnapshotRecord> {
  const at = (time: number) => wallTime(topic, time);
  yield* messageRecords(topic);
  for (const { due, first, end } of topic.expiry?.items() ?? []) {
    yield record({
      oneofKind: "expiry",
      expiry: { firstOffset: first, count: end - first, expiresAt: at(due) },
    });
  }
  for await (const { due, expires, count, batch } of topic.delays?.items() ?? []) {
    const expiresAt = expires === Number.POSITIVE_INFINITY ? 0 : at(expires);
    yield record({ oneofKind: "delayed", delayed: { dueAt: at(due), expiresAt, count, batch } });
  }
  for (const producer of topic.producers.items()) {
    yield record({ oneofKind: "producer", producer: producerRecord(producer) });
  }
  const ids = [...(topic.unique?.items() ?? [])];
  for (let from = 0; from < ids.length; from += IDS_A_RECORD) {
    const some = ids.slice(from, from + IDS_A_RECORD);
    const uniqueIds = { ids: some.map(([id]) => id), until: some.map(([, until]) => at(until)) };
    yield record({ oneofKind: "uniqueIds", uniqueIds });
  }
}

/** The messages in order of offset, each stretch with what happened to it. */
async function* messageRecords(topic: Topic): AsyncGenerator<SnapshotRecord> {
  const given = [
    ...[...topic.returned].map((range) => ({ ...range, heldUntil: 0 })),
    ...[...(topic.heldBack?.items() ?? [])].map((range) => ({
      ...range,
      heldUntil: wallTime(topic, range.due),
    })),
  ].sort((one, other) => one.first - other.first);
  for (const range of given) {
    for await (const chunk of chunks(topic, range.first, range.end)) {
      const { deliveries, heldUntil } = range;
      yield record({ oneofKind: "messages", messages: { ...chunk, returned: true, deliveries, heldUntil } });
    }
  }
  for await (const chunk of chunks(topic, topic.cursor, topic.log.nextOffset)) {
    yield record({
      oneofKind: "messages",
      messages: { ...chunk, returned: false, deliveries: 0, heldUntil: 0 },
    });
  }
}

async function* chunks(
  topic: Topic,
  first: number,
  end: number,
): AsyncGenerator<{ firstOffset: number; count: number; batch: Uint8Array }> {
  let from = first;
  while (from < end) {
    // One run at a time: a record's offsets are consecutive.
    const peek = await topic.log.read(from, CHUNK_MESSAGES, CHUNK_BYTES, end);
    if (peek === null) return;
    const run = peek.runs[0]!;
    const whole =
      peek.runs.length === 1 ? peek : await topic.log.read(run.firstOffset, run.count, CHUNK_BYTES, end);
    if (whole === null) return;
    yield { firstOffset: run.firstOffset, count: whole.count, batch: concatBytes(whole.parts) };
    from = whole.nextOffset;
  }
}

/** Fills an empty broker from the records of a snapshot; returns how many messages it holds then. */
export class SnapshotReader {
  readonly #broker: Broker;
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
  async take({ kind }: SnapshotRecord): Promise<void> {
    switch (kind.oneofKind) {
      case "head":
        this.#broker.instance = kind.head.instance;
        return;
      case "topic":
        await this.#finishTopic();
        await this.#begin(kind.topic);
        return;
      case "messages":
        await this.#restoreMessages(this.#current(), kind.messages);
        return;
      case "delayed":
        await this.#restoreDelayed(this.#current(), kind.delayed);
        return;
      case "expiry": {
        const topic = this.#current();
        topic.expiry ??= new Expiry(topic);
        topic.expiry.add(kind.expiry.firstOffset, kind.expiry.count, ownTime(topic, kind.expiry.expiresAt));
        return;
      }
      case "producer":
        restoreProducer(this.#current(), kind.producer);
        return;
      case "uniqueIds": {
        const topic = this.#current();
        topic.unique ??= new UniqueIds(topic);
        for (const [index, id] of kind.uniqueIds.ids.entries()) {
          topic.unique.restore(id, ownTime(topic, kind.uniqueIds.until[index] ?? 0));
        }
        return;
      }
      case "tail":
        await this.#finishTopic();
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

  async #begin({ name, nextOffset, cursor }: SnapshotTopic): Promise<void> {
    this.#topic = await this.#broker.topicForDeadLetters(name);
    this.#topic.cursor = cursor;
    this.#nextOffset = nextOffset;
    this.#topics += 1;
  }

  async #finishTopic(): Promise<void> {
    if (this.#topic === null) return;
    // Offsets go on where they were, though the last messages were consumed.
    await this.#topic.log.append(new Uint8Array(0), 0, this.#nextOffset);
    this.#topic.updateMemory();
    this.#topic.checkIdle();
    this.#topic = null;
  }

  async #restoreMessages(topic: Topic, messages: SnapshotMessages): Promise<void> {
    const { firstOffset, count, batch, returned, deliveries, heldUntil } = messages;
    await topic.log.append(batch, count, firstOffset);
    this.#messages += count;
    if (!returned) return;
    const heldMs = heldUntil - topic.host.clock.wall();
    if (heldMs > 0) {
      topic.heldBack ??= new HeldBack(topic);
      topic.heldBack.add(firstOffset, firstOffset + count, deliveries, heldMs);
    } else {
      topic.returned.add(firstOffset, firstOffset + count, deliveries);
    }
  }

  async #restoreDelayed(topic: Topic, { dueAt, expiresAt, count, batch }: SnapshotDelayed): Promise<void> {
    const delays = await delaysOf(topic);
    const expires = expiresAt === 0 ? Number.POSITIVE_INFINITY : ownTime(topic, expiresAt);
    await delays.add(batch, count, ownTime(topic, dueAt), expires);
    this.#messages += count;
  }
}

function producerRecord(producer: Producer): SnapshotProducer {
  const rejections = [...producer.rejections()].map(([seq, error]) => ({
    seq,
    code: CODE_NUMBERS[error.code],
    message: error.message,
  }));
  return { id: producer.id, lastSeq: producer.answeredSeq, rejections };
}

function restoreProducer(topic: Topic, { id, lastSeq, rejections }: SnapshotProducer): void {
  const producer = topic.producers.restore(id, lastSeq);
  for (const { seq, code, message } of rejections) {
    producer.restoreRejection(seq, new TinyMQError(codeFromNumber(code), message));
  }
}

function record(kind: Kind): SnapshotRecord {
  return { kind };
}

/** A time of the broker's clock as ms since 1970. */
function wallTime(topic: Topic, time: number): number {
  const { clock } = topic.host;
  return Math.max(0, Math.round(clock.wall() + time - clock.now()));
}

/** A time in ms since 1970 by the broker's clock. */
function ownTime(topic: Topic, wall: number): number {
  const { clock } = topic.host;
  return clock.now() + wall - clock.wall();
}
