/** How a producer is driven: one by one, pipelined, or at a fixed rate. Runs in the client processes. */
import { setImmediate as nextTurn } from "node:timers/promises";
import { nowMicros } from "../../cli/bench/measuring/clock.ts";
import { Histogram, type LatencySummary } from "../../cli/bench/measuring/histogram.ts";
import { sendPaced } from "../../cli/bench/measuring/pace.ts";
import { Bodies } from "./bodies.ts";
import type { BenchProducer, ProduceStyle } from "./subject.ts";

/** From the first send to the last acknowledgement, in µs of `nowMicros`. */
export interface Span {
  startedAt: number;
  endedAt: number;
}

/** Bytes in flight are bounded too; the control has 2 MiB in flight. */
const MAX_BYTES_IN_FLIGHT = 4 * 1024 * 1024;

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

/** Sends one, waits for its acknowledgement, sends the next. The first `warmUp` of them are not recorded. */
export async function awaited(
  producer: BenchProducer,
  bodies: Bodies,
  count: number,
  warmUp: number,
): Promise<LatencySummary | null> {
  const latency = new Histogram();
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

/** Messages of one group. */
const GROUP = 5_000;

/** As much code does it: sends a group, and awaits all of it before the next. */
export async function grouped(
  producer: BenchProducer,
  bodies: Bodies,
  first: number,
  count: number,
): Promise<Span> {
  const startedAt = nowMicros();
  for (let sent = 0; sent < count; sent += GROUP) {
    const size = Math.min(GROUP, count - sent);
    await Promise.all(
      Array.from({ length: size }, (_, index) => producer.send(bodies, first + sent + index)),
    );
  }
  return { startedAt, endedAt: nowMicros() };
}

export interface Paced extends Span {
  /** Of acknowledgements; null if there was none. */
  latency: LatencySummary | null;
}

/** An open loop at `rate` messages a second: latencies count from when each message was due. */
export async function paced(
  producer: BenchProducer,
  bodies: Bodies,
  rate: number,
  count: number,
): Promise<Paced> {
  const latency = new Histogram();
  const most = Bodies.ring(bodies.size) - 1;
  let inFlight = 0;
  let failure: { error: unknown } | undefined;
  const send = (seq: number, due: number): void => {
    inFlight += 1;
    bodies.intended = due;
    producer.send(bodies, seq).then(
      () => {
        inFlight -= 1;
        latency.record(nowMicros() - due);
      },
      (error) => {
        failure ??= { error };
      },
    );
  };
  await nextTurn();
  const startedAt = nowMicros();
  await sendPaced({
    firstDue: startedAt,
    interval: 1e6 / rate,
    count,
    room: () => most - inFlight,
    isOver: () => failure !== undefined,
    send,
  });
  while (inFlight > 0 && failure === undefined) await nextTurn();
  if (failure !== undefined) throw failure.error;
  return { startedAt, endedAt: nowMicros(), latency: latency.summary() };
}
