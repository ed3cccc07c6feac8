/** How a producer is driven: one by one, pipelined, or at a fixed rate. Runs in the client processes. */
import { setImmediate as nextTurn, setTimeout as sleep } from "node:timers/promises";
import { Bodies } from "./bodies.ts";
import { nowMicros } from "./clock.ts";
import { Latency, type LatencySummary } from "./latency.ts";
import type { BenchProducer, ProduceStyle } from "./subject.ts";

/** From the first send to the last acknowledgement, in µs of the common clock. */
export interface Span {
  startedAt: number;
  endedAt: number;
}

/** Bytes in flight are bounded too; the control has 2 MiB in flight. */
const MAX_BYTES_IN_FLIGHT = 4 * 1024 * 1024;
/** At a fixed rate, sleeping is too coarse below this, in µs: the rest is waited for in turns of the loop. */
const COARSEST_SLEEP = 2_000;
/** At a fixed rate, answers are looked at after this many sends that are late. */
const MOST_AT_ONCE = 512;

/** Messages that may be in flight with bodies of this size. */
export function windowFor(producer: BenchProducer, size: number): number {
  const bySize = Math.floor(MAX_BYTES_IN_FLIGHT / size);
  return Math.max(4, Math.min(producer.window, bySize, Bodies.ring(size) / 2));
}

/** How far a producer may be ahead of what was received; `limit` counts messages from the first. */
export class Lead {
  readonly #ahead: number;
  #received = 0;
  #wake: () => void = () => {};

  /** `ahead`: messages. */
  constructor(ahead = Number.POSITIVE_INFINITY) {
    this.#ahead = ahead;
  }

  get limit(): number {
    return this.#received + this.#ahead;
  }

  /** The slowest receiver has this many. */
  received(count: number): void {
    this.#received = Math.max(this.#received, count);
    this.#wake();
  }

  onChange(wake: () => void): void {
    this.#wake = wake;
  }
}

/** Sends one, waits for its acknowledgement, sends the next. The first `warmUp` are not recorded. */
export async function awaited(
  producer: BenchProducer,
  bodies: Bodies,
  count: number,
  warmUp: number,
): Promise<LatencySummary> {
  const latency = new Latency();
  for (let seq = 0; seq < count; seq++) {
    const before = nowMicros();
    await producer.send(bodies, seq);
    if (seq >= warmUp) latency.record(nowMicros() - before);
  }
  return latency.summary();
}

export interface PipelinedOptions {
  count: number;
  /** Number of the first message. */
  first: number;
  style: ProduceStyle;
  lead: Lead;
  /** Producers that share this process: the window is divided among them. */
  sharedBy: number;
}

/** Keeps the window full until all messages are acknowledged. */
export function pipelined(producer: BenchProducer, bodies: Bodies, options: PipelinedOptions): Promise<Span> {
  const { count, first, style, lead } = options;
  const window = Math.max(2, Math.ceil(windowFor(producer, bodies.size) / options.sharedBy));
  const many = style === "many" ? Math.max(1, Math.min(producer.many ?? 1, window >> 1)) : 1;
  const startedAt = nowMicros();
  let sent = 0;
  let settled = 0;
  return new Promise<Span>((resolve, reject) => {
    const settle = (messages: number): void => {
      settled += messages;
      if (settled === count) resolve({ startedAt, endedAt: nowMicros() });
      // Half a window at a time, so that there is always another half under way.
      else if (sent - settled <= window >> 1) fill();
    };
    const settleOne = (): void => settle(1);
    const fill = (): void => {
      const end = Math.min(count, settled + window, lead.limit);
      try {
        if (style === "send")
          while (sent < end) producer.send(bodies, first + sent++).then(settleOne, reject);
        else {
          while (sent < end && (end === count || end - sent >= many)) {
            const messages = Math.min(many, end - sent);
            sent += messages;
            producer.sendMany!(bodies, first + sent - messages, messages).then(
              () => settle(messages),
              reject,
            );
          }
        }
      } catch (error) {
        reject(error);
      }
    };
    lead.onChange(fill);
    fill();
  });
}

export interface Paced extends Span {
  sent: number;
  /** Acknowledgement time of each, from the time at which it was meant to be sent. */
  latency: LatencySummary;
}

/**
 * Open loop: message n is meant to be sent at start + n / rate, whatever became of the others, and its
 * latency counts from there. `rate`: messages a second.
 */
export async function paced(
  producer: BenchProducer,
  bodies: Bodies,
  rate: number,
  count: number,
): Promise<Paced> {
  const latency = new Latency();
  const interval = 1e6 / rate;
  const most = Bodies.ring(bodies.size) - 1;
  let inFlight = 0;
  let failure: { error: unknown } | undefined;
  const send = (seq: number, intended: number): void => {
    inFlight += 1;
    bodies.intended = intended;
    producer.send(bodies, seq).then(
      () => {
        inFlight -= 1;
        latency.record(nowMicros() - intended);
      },
      (error) => {
        failure ??= { error };
      },
    );
  };
  await nextTurn();
  const startedAt = nowMicros();
  for (let seq = 0; seq < count; ) {
    const due = Math.min(count, Math.floor((nowMicros() - startedAt) / interval) + 1);
    const end = Math.min(due, seq + MOST_AT_ONCE, seq + most - inFlight);
    for (; seq < end; seq++) send(seq, startedAt + seq * interval);
    if (failure !== undefined) throw failure.error;
    const wait = startedAt + seq * interval - nowMicros();
    if (seq < count && wait > COARSEST_SLEEP) await sleep((wait - COARSEST_SLEEP) / 1_000);
    else await nextTurn();
  }
  while (inFlight > 0 && failure === undefined) await nextTurn();
  if (failure !== undefined) throw failure.error;
  return { startedAt, endedAt: nowMicros(), sent: count, latency: latency.summary() };
}
