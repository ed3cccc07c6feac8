/** What the bench and its client processes say to each other, as JSON over the processes' IPC channel. */
import type { Paced, Span } from "./drive.ts";
import type { LatencySummary } from "./latency.ts";
import type { Arrivals } from "./sink.ts";
import type { OpenOptions, ProduceStyle, Target } from "./subject.ts";

/** The verbs of a client process: what each takes and answers. */
export interface Verbs {
  /** Loads the subject's client. */
  connect: { takes: { subject: string; target: Target }; gives: null };
  prepare: { takes: OpenOptions; gives: null };
  remove: { takes: OpenOptions; gives: null };
  openProducers: { takes: OpenOptions & { connections: number }; gives: null };
  openConsumers: { takes: OpenOptions & { connections: number }; gives: null };
  /** Names topics `prefix` + number, from `from` to `to - 1`, by a producer that comes and goes. */
  nameTopics: { takes: { prefix: string; from: number; to: number; size: number }; gives: null };
  /** Closes all producers and consumers. */
  closeAll: { takes: null; gives: null };
  awaited: { takes: { size: number; count: number; warmUp: number }; gives: LatencySummary };
  /** `count` of each producer; `ahead`: messages that may be sent and not received. */
  pipelined: { takes: PipelinedTask; gives: Span };
  paced: { takes: { size: number; rate: number; count: number }; gives: Paced };
  /** Answers once every message came. */
  consume: { takes: ConsumeTask; gives: Consumed };
  /** Connects, sends one message, and closes; tries again until it is acknowledged. */
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
  timed: boolean;
  /** Tells the bench after this many messages; null: never. */
  progressEvery: number | null;
  /** Of who may lose messages: ends when none came for this many ms. */
  giveUpAfterMs?: number;
}

export interface Consumed extends Span {
  arrivals: Arrivals;
  /** Delivery time from the intended send time. */
  latency: LatencySummary | null;
  /** Copies that each message had. */
  copies: number;
}

export type Request = { [V in Verb]: { id: number; verb: V; task: Verbs[V]["takes"] } }[Verb];
/** Without an answer: the slowest receiver has this many. */
export interface Credit {
  credit: number;
}
export type ToWorker = Request | Credit | { bye: true };

export type FromWorker =
  | { ready: true }
  | { id: number; result: unknown }
  | { id: number; error: string }
  | { progress: number };
