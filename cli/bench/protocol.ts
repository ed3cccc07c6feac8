/** What the main thread of a benchmark and its workers say to each other. */
import type { Code } from "../../src/errors.ts";
import type { Target } from "../target.ts";
import type { Counts, Expected } from "./measuring/arrivals.ts";
import type { HistogramData } from "./measuring/histogram.ts";

/** What a worker is told once. */
export interface Setup {
  role: "producers" | "consumers";
  target: Target;
  topic: string;
  /** Bytes of a body. */
  size: number;
  /** The numbers of this worker's connections, among those of its role. */
  numbers: number[];
  /** How many there are in all workers. */
  producers: number;
  consumers: number;
  /** Of the `SharedCounts`. */
  counts: SharedArrayBuffer;
}

/** A part of the benchmark. Its `producers` are those that send in it: the ones with the lowest numbers. */
export interface Phase extends Expected {
  /** Messages of each producer that may be on their way to the server at once. */
  window: number;
  /** Messages that may be sent and not received, of all producers. */
  ahead: number;
  /** Messages a second of all producers; 0: as fast as possible. */
  rate: number;
  /** Nothing is sent after this many ms; 0: no limit. */
  forMs: number;
  /** Of a `Seen` for `count` messages. */
  seen: SharedArrayBuffer;
}

/** What one producer did in a phase. Times in µs of `nowMicros`. */
export interface Production {
  startedAt: number;
  /** Of the last acknowledgement. */
  endedAt: number;
  stored: number;
  /** Sends that were made again because the server had no room. */
  retried: number;
  /** From when a message was sent (at a rate: was due) to its acknowledgement. */
  latency: HistogramData;
}

/** What the producers of a worker did in a phase. */
export interface Sent extends Production {
  /** Part of its time in which the worker used a CPU, 0 to 1; null where the runtime does not tell. */
  cpu: number | null;
}

/** What the consumers of a worker received in a phase. */
export interface Received extends Counts {
  /** When the last message arrived, in µs of `nowMicros`; 0 if none did. */
  endedAt: number;
  /** From when a message was sent (at a rate: was due) to its arrival. */
  latency: HistogramData;
  /** As in `Sent`. */
  cpu: number | null;
}

export type Request =
  | { kind: "open"; setup: Setup }
  /** Producers answer when all is stored, consumers when they are ready. */
  | { kind: "begin"; phase: Phase }
  /** Only for consumers. */
  | { kind: "collect" }
  | { kind: "close" };

export type Answer = null | Sent | Received;

/** Answers come in the order of the requests. After a failure the worker does nothing more. */
export type FromWorker = { answer: Answer } | { failed: { code: Code; message: string } };
