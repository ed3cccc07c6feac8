/** What a bench is told, and what it finds out. */
import type { Target } from "../target.ts";
import type { LatencySummary } from "./histogram.ts";
import type { ServerFacts } from "./server.ts";

/** What is measured. */
export interface BenchPlan {
  target: Target;
  server: ServerFacts;
  topic: string;
  /** The topic was made up for this bench: what is left in it is nobody's. */
  ownTopic: boolean;
  /** Bytes of a body. */
  size: number;
  /** Messages; 0: as many as take about 5 s. */
  count: number;
  producers: number;
  consumers: number;
  /** Messages a second in all; 0: as fast as it goes. */
  rate: number;
}

/** What was measured. Times in ms, latencies in µs. */
export interface Measured {
  /** Messages that were to be sent, and those that were stored. */
  planned: number;
  stored: number;
  /** From the first send to the last acknowledgement, and to the last arrival. */
  sendingMs: number;
  receivingMs: number;
  roundTrip: LatencySummary | null;
  acknowledged: LatencySummary | null;
  delivered: LatencySummary | null;
  faults: Faults;
  /** Sends that were made again because the server had no room. */
  retried: number;
  cpu: CpuUse;
  /** It was told to end before it was through. */
  interrupted: boolean;
}

/** CPU time that was used while it was measured, 0 to 1; null where that cannot be known. */
export interface CpuUse {
  /** Of one CPU, one for each thread. */
  producers: (number | null)[];
  consumers: (number | null)[];
  /** Of one CPU. */
  server: number | null;
  /** Of all CPUs of this machine, by whomever. */
  machine: number | null;
}

/** Messages that did not come exactly once, as they were sent, and with one consumer in order. */
export interface Faults {
  missing: number;
  duplicates: number;
  damaged: number;
  foreign: number;
  outOfOrder: number;
  /** In the topic when all was over. */
  left: number;
}
