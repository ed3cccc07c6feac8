/** What a benchmark is told to do, and what it found. */
import type { Target } from "../target.ts";
import type { Counts } from "./measuring/arrivals.ts";
import type { LatencySummary } from "./measuring/histogram.ts";
import type { ServerFacts } from "./server.ts";

/** What is measured. */
export interface BenchPlan {
  target: Target;
  server: ServerFacts;
  topic: string;
  /** The topic has a new name of its own, so that what is left in it can be dropped. */
  ownTopic: boolean;
  /** Bytes of a body. */
  size: number;
  /** Messages; 0: as many as take about 5 s. */
  count: number;
  producers: number;
  consumers: number;
  /** Messages a second of all producers; 0: as fast as possible. */
  rate: number;
}

/** What was measured. Times in ms, latencies in µs. */
export interface BenchResult {
  /** Messages that were to be sent. */
  planned: number;
  stored: number;
  /** From the first send to the last acknowledgement, and to the last arrival. */
  sendingMs: number;
  receivingMs: number;
  /** Of sends one by one, each waiting for the one before. */
  roundTrip: LatencySummary | null;
  /** From the send (at a rate: from when it was due) to the acknowledgement, and to the arrival. */
  acknowledged: LatencySummary | null;
  delivered: LatencySummary | null;
  faults: Faults;
  /** Sends that were made again because the server had no room. */
  retried: number;
  cpu: CpuUse;
  /** A signal ended it before all was sent. */
  interrupted: boolean;
}

/** Part of the measured time in which CPUs were used, 0 to 1; null where that is not known. */
export interface CpuUse {
  /** Of one CPU; one entry for each worker. */
  producers: (number | null)[];
  consumers: (number | null)[];
  /** Of one CPU. */
  server: number | null;
  /** Of all CPUs of this machine, by all of its processes. */
  machine: number | null;
}

/** Messages that did not arrive exactly once, as they were sent and, with one consumer, in order. */
export interface Faults extends Omit<Counts, "distinct"> {
  missing: number;
  /** In the topic at the end. */
  left: number;
}
