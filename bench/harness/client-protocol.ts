/** What the bench and its client processes say to each other, as JSON over IPC. */
import type { LatencySummary } from "../../cli/bench/measuring/histogram.ts";
import type { Paced, Span } from "./drive.ts";
import type { ReceivedCounts } from "./sink.ts";
import type { OpenOptions, ProduceStyle, Target } from "./subject.ts";

/** What a client process can be asked for: what each request takes and is answered with. */
export interface Verbs {
  /** Loads the subject's client. */
  connect: { takes: { subject: string; target: Target }; gives: null };
  prepare: { takes: OpenOptions; gives: null };
  remove: { takes: OpenOptions; gives: null };
  openProducers: { takes: OpenOptions & { connections: number }; gives: null };
  openConsumers: { takes: OpenOptions & { connections: number }; gives: null };
  /** Makes topics `prefix` + number, from `from` to `to - 1`, each by a producer that connects and closes. */
  nameTopics: { takes: { prefix: string; from: number; to: number; size: number }; gives: null };
  /** Closes all producers and consumers. */
  closeAll: { takes: null; gives: null };
  awaited: { takes: { size: number; count: number; warmUp: number }; gives: LatencySummary | null };
  /** `count` of each producer; `ahead`: messages that may be sent and not received. */
  pipelined: { takes: PipelinedTask; gives: Span };
  paced: { takes: { size: number; rate: number; count: number }; gives: Paced };
  /** Answers once every message came. */
  consume: { takes: ConsumeTask; gives: Consumed };
  /** Connects, sends one message, and closes; tries again until it is acknowledged, and answers when that was. */
  firstAck: { takes: OpenOptions; gives: { at: number } };
}

export type Verb = keyof Verbs;

export interface PipelinedTask {
  size: number;
  count: number;
  style: ProduceStyle;
  ahead: number | null;
  /** Number of the first message. */
  first?: number;
}

export interface ConsumeTask {
  size: number;
  producers: number;
  perProducer: number;
  /** Number of the first message. */
  first?: number;
  /** Sends `progress` after every so many messages; null: never. */
  progressEvery: number | null;
  /** Where messages may be lost: ends when none arrived for this many ms. */
  giveUpAfterMs?: number;
}

export interface Consumed extends Span {
  /** Of all sinks. */
  counts: ReceivedCounts;
  /** From the intended send time to the arrival; null if no message was timed. */
  latency: LatencySummary | null;
  /** How many copies of each message were delivered. */
  copies: number;
}

export type Request = { [V in Verb]: { id: number; verb: V; task: Verbs[V]["takes"] } }[Verb];
/** `credit`: the slowest receiver has this many messages; it is not answered. */
export type ToClientProcess = Request | { credit: number } | { bye: true };

export type FromClientProcess =
  | { ready: true }
  | { id: number; result: unknown }
  | { id: number; error: string }
  | { progress: number };
