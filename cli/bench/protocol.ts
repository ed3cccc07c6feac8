/** What the main thread of a bench and the threads of its clients say to each other. */
import type { Code } from "../../src/errors.ts";
import type { Target } from "../target.ts";
import type { HistogramData } from "./histogram.ts";

/** What a thread is, once. */
export interface Setup {
  role: "producers" | "consumers";
  target: Target;
  topic: string;
  /** Bytes of a body. */
  size: number;
  /** The numbers of this thread's connections, among those of its role. */
  numbers: number[];
  /** How many there are in all threads. */
  producers: number;
  consumers: number;
  /** Of a `Board`. */
  board: SharedArrayBuffer;
}

/**
 * A part of the run. Its messages have the ids `first` to `first + count - 1`; producer p of `active` sends
 * every one whose distance from `first` leaves p when divided by `active`, in order.
 */
export interface Phase {
  first: number;
  count: number;
  /** Producers that send: those with the lowest numbers. */
  active: number;
  /** Messages of each producer that may be on their way to the server at once. */
  window: number;
  /** Messages that may be sent and not received, of all producers. */
  ahead: number;
  /** Messages a second of all producers; 0: as fast as it goes. */
  rate: number;
  /** Nothing is sent after this many ms; 0: no limit. */
  forMs: number;
  /** Messages at the beginning whose latency is not recorded. */
  unrecorded: number;
  /** Of a `Seen` for `count` messages. */
  seen: SharedArrayBuffer;
}

/** What the producers of a thread did in a phase. Times in µs of the common clock. */
export interface Sent {
  startedAt: number;
  /** Of the last acknowledgement. */
  endedAt: number;
  stored: number;
  /** Sends that the server had no room for, and that were made again. */
  retried: number;
  /** From when it was sent (with a rate: was due) to its acknowledgement. */
  latency: HistogramData;
  cpu: number | null;
}

/** What the consumers of a thread received in a phase. */
export interface Received {
  /** When the last one came, in µs of the common clock; 0 if none did. */
  endedAt: number;
  /** Messages that nobody had received before. */
  distinct: number;
  duplicates: number;
  /** Bodies that are not as they were sent. */
  damaged: number;
  /** Messages that this bench did not send. */
  foreign: number;
  /** Messages behind a later one of the same producer. */
  outOfOrder: number;
  /** From when it was sent (with a rate: was due) to its arrival. */
  latency: HistogramData;
  /** Part of its time in which the thread used a CPU, 0 to 1; null where the runtime does not tell. */
  cpu: number | null;
}

export type Request =
  | { kind: "open"; setup: Setup }
  /** Producers answer when all is stored, consumers when they are ready. */
  | { kind: "begin"; phase: Phase }
  /** Only of consumers. */
  | { kind: "collect" }
  | { kind: "close" };

export type Answer = null | Sent | Received;

/** Answers come in the order of the requests. A failure ends the thread's work, asked for or not. */
export type FromThread = { answer: Answer } | { failed: { code: Code; message: string } };
