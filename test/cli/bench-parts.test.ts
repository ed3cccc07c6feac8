/** The parts of `bench` that need no server: percentiles, bodies, arrivals, the pace, and what a result says. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { Arrivals, Seen } from "../../cli/bench/measuring/arrivals.ts";
import { Body, BodyReader } from "../../cli/bench/measuring/body.ts";
import { nowMicros } from "../../cli/bench/measuring/clock.ts";
import { Histogram } from "../../cli/bench/measuring/histogram.ts";
import { sendPaced } from "../../cli/bench/measuring/pace.ts";
import { asText, formatMicros } from "../../cli/bench/report.ts";
import type { BenchPlan, BenchResult } from "../../cli/bench/result.ts";
import { SharedCounts } from "../../cli/bench/shared-counts.ts";
import { describeFaults, findLimit, holdsRate } from "../../cli/bench/verdict.ts";

function histogramOf(values: readonly number[]): Histogram {
  const histogram = new Histogram();
  for (const value of values) histogram.record(value);
  return histogram;
}

describe("percentiles", () => {
  test("of nothing", () => {
    expect(new Histogram().summary()).toBeNull();
    expect(new Histogram().percentile(50)).toBe(0);
  });

  test("of one value", () => {
    expect(histogramOf([12.3]).summary()).toEqual({ p50: 12.3, p90: 12.3, p99: 12.3, p999: 12.3, max: 12.3 });
  });

  test("of small values they are exact", () => {
    const histogram = histogramOf([10, 9, 8, 7, 6, 5, 4, 3, 2, 1]);
    expect(histogram.summary()).toEqual({ p50: 5, p90: 9, p99: 10, p999: 10, max: 10 });
    expect(histogram.percentile(0)).toBe(1);
    expect(histogram.percentile(10)).toBe(1);
    expect(histogram.percentile(10.1)).toBe(2);
  });

  test("of a thousand values, one of them an outlier", () => {
    const histogram = histogramOf([...Array.from({ length: 999 }, () => 20), 5_000]);
    expect(histogram.summary()).toEqual({ p50: 20, p90: 20, p99: 20, p999: 20, max: 5_000 });
    expect(histogram.percentile(99.91)).toBe(5_000);
  });

  test("where buckets begin to be wider", () => {
    // In tenths of a µs: 255 and 256 are alone, 256 and 257 together.
    expect(histogramOf([25.5, 1_000]).percentile(50)).toBe(25.5);
    expect(histogramOf([25.6, 1_000]).percentile(50)).toBe(25.7);
    expect(histogramOf([25.7, 1_000]).percentile(50)).toBe(25.7);
  });

  test("of what is below zero or above all buckets", () => {
    expect(histogramOf([-5]).percentile(50)).toBe(0);
    const histogram = histogramOf([1e12, 2e12]);
    expect(histogram.percentile(50)).toBeCloseTo(2 ** 32 / 10, -1);
    expect(histogram.max).toBe(2e12);
  });

  test("are never too low, and less than 1 % too high; of two histograms as of one", () => {
    const values = fc.array(fc.double({ min: 0, max: 4e8, noNaN: true }), { minLength: 1, maxLength: 200 });
    const property = fc.property(values, values, fc.integer({ min: 1, max: 100 }), (some, more, percent) => {
      const all = [...some, ...more].sort((one, other) => one - other);
      const exact = all[Math.ceil((percent / 100) * all.length - 1e-6) - 1]!;
      const histogram = histogramOf(some);
      histogram.add(structuredClone(histogramOf(more)));
      expect(histogram.total).toBe(all.length);
      expect(histogram.percentile(percent)).toBeGreaterThanOrEqual(exact - 0.05);
      expect(histogram.percentile(percent)).toBeLessThanOrEqual(exact * 1.01 + 0.05);
      expect(histogram.max).toBe(all.at(-1)!);
    });
    fc.assert(property);
  });
});

describe("bodies", () => {
  const timeIn = (size: number, bytes: Uint8Array): number => new BodyReader(size).time(bytes);

  test.each([0, 1, 7, 8, 9, 128])("of %d bytes tell when they were sent, if there is room", (size) => {
    const body = new Body(new Uint8Array(size));
    body.setTime(1_234_567.25);
    expect(body.bytes.length).toBe(size);
    expect(timeIn(size, body.bytes)).toBe(size < 8 ? 0 : 1_234_567.25);
  });

  test("that are damaged are seen", () => {
    const { bytes } = new Body(new Uint8Array(16));
    expect(timeIn(17, bytes)).toBeNaN();
    expect(timeIn(16, bytes.with(15, 0))).toBeNaN();
    expect(timeIn(1, new Uint8Array(1))).toBeNaN();
  });

  test("use their own bytes only, and leave room for what follows the time", () => {
    const memory = new Uint8Array(48);
    const body = new Body(memory.subarray(16, 32));
    body.setTime(7.5);
    body.bytes[15] = 1;
    expect([new BodyReader(16).time(body.bytes), new BodyReader(16, 16).time(body.bytes)]).toEqual([
      Number.NaN,
      7.5,
    ]);
    expect([...memory.subarray(0, 16), ...memory.subarray(32)].every((byte) => byte === 0)).toBe(true);
  });

  test("that are not timed say so", () => {
    const body = new Body(new Uint8Array(16));
    body.setTime(0);
    expect(timeIn(16, body.bytes)).toBe(0);
  });
});

describe("arrivals", () => {
  /** Ids 10 to 15, of two producers: 10, 12, 14 and 11, 13, 15. The first of each is not timed. */
  const expected = { first: 10, count: 6, producers: 2, unrecorded: 1 };
  const none = { distinct: 0, duplicates: 0, damaged: 0, foreign: 0, outOfOrder: 0 };

  function arrivalsOf(...ids: number[]): Arrivals {
    const arrivals = new Arrivals(expected, new Seen(6), new Histogram());
    for (const [index, id] of ids.entries()) arrivals.add(id, 100, 110 + index);
    return arrivals;
  }

  test("of every message once, each producer's in order", () => {
    const arrivals = arrivalsOf(11, 10, 13, 15, 12, 14);
    expect(arrivals).toMatchObject({ ...none, distinct: 6, endedAt: 115 });
    expect(arrivals.latency.total).toBe(4);
  });

  test("of the same message twice, of one from before, of one that is behind, and of others", () => {
    expect(arrivalsOf(10, 10)).toMatchObject({ ...none, distinct: 1, duplicates: 1, endedAt: 110 });
    expect(arrivalsOf(9)).toMatchObject({ ...none, duplicates: 1, endedAt: 0 });
    expect(arrivalsOf(12, 10, 11)).toMatchObject({ ...none, distinct: 3, outOfOrder: 1 });
    expect(arrivalsOf(16, Number.POSITIVE_INFINITY, Number.NaN)).toMatchObject({ ...none, foreign: 3 });
  });

  test("of a damaged body, and of one that tells no time", () => {
    const arrivals = arrivalsOf();
    expect([arrivals.add(14, Number.NaN, 1), arrivals.add(15, 0, 2)]).toEqual([true, true]);
    expect(arrivals).toMatchObject({ ...none, distinct: 2, damaged: 1 });
    expect(arrivals.latency.total).toBe(0);
  });
});

describe("at a rate", () => {
  const INTERVAL = 500;

  function pace(firstDue: number, room: () => number, isOver = () => false) {
    const sent: { number: number; due: number; at: number }[] = [];
    const send = (number: number, due: number): void => void sent.push({ number, due, at: nowMicros() });
    const done = sendPaced({ firstDue, interval: INTERVAL, count: 20, room, isOver, send });
    return { sent, done };
  }

  test("messages are sent in order and never before they are due", async () => {
    const firstDue = nowMicros() + 3_000;
    const { sent, done } = pace(firstDue, () => 1_000);
    await done;
    expect(sent.map(({ number }) => number)).toEqual(Array.from({ length: 20 }, (_, number) => number));
    for (const { number, due, at } of sent) {
      expect(due).toBe(firstDue + number * INTERVAL);
      expect(at).toBeGreaterThanOrEqual(due);
    }
  });

  test("late messages are sent at once, as far as there is room", async () => {
    let turns = 0;
    const { sent, done } = pace(
      nowMicros() - 1e6,
      () => (turns++ === 0 ? 5 : 0),
      () => turns > 3,
    );
    await done;
    expect(sent.map(({ number }) => number)).toEqual([0, 1, 2, 3, 4]);
  });
});

test("shared counts add up", () => {
  const counts = new SharedCounts(2, 2);
  const same = new SharedCounts(2, 2, counts.buffer);
  counts.countSent(0);
  counts.countSent(1);
  same.countStored(1);
  same.countReceived(0);
  same.countReceived(1);
  expect([same.sent, counts.stored, counts.received, counts.stopped]).toEqual([2, 1, 2, false]);
  same.stop();
  expect([counts.stopped, counts.sent]).toEqual([true, 2]);
});

test("a message is new once", () => {
  const seen = new Seen(65);
  const same = new Seen(65, seen.buffer);
  for (const index of [0, 31, 32, 64]) {
    expect([seen.add(index), same.add(index)]).toEqual([true, false]);
  }
});

describe("the verdict", () => {
  const none = { missing: 0, duplicates: 0, damaged: 0, foreign: 0, outOfOrder: 0, left: 0 };

  test("faults are reported, and nothing else is", () => {
    expect(describeFaults(none)).toBe("");
    expect(describeFaults({ ...none, missing: 3, left: 1 })).toBe(
      "not every message arrived exactly once, as it was sent: 3 never arrived, 1 left in the topic",
    );
  });

  function using(cpu: Partial<BenchResult["cpu"]>, rest: Partial<BenchResult> = {}): BenchResult {
    const idle = { producers: [0.1], consumers: [0.1], server: 0.1, machine: 0.1 };
    return { stored: 1_000, sendingMs: 1_000, ...rest, cpu: { ...idle, ...cpu } } as BenchResult;
  }

  test.each([
    [{}, "none"],
    [{ producers: [null], consumers: [null], server: null, machine: null }, "none"],
    [{ server: 0.97, machine: 0.99 }, "server"],
    [{ producers: [0.2, 0.95], machine: 0.5 }, "producers"],
    [{ producers: [0.95], consumers: [0.95] }, "consumers"],
    [{ producers: [0.7], consumers: [0.7], server: 0.5, machine: 0.95 }, "machine"],
  ] as const)("%j: %s", (cpu, limit) => {
    expect(findLimit({ rate: 0 }, using(cpu as Partial<BenchResult["cpu"]>))).toBe(limit);
  });

  test("a machine without CPU time left is reported where latencies are all that counts", () => {
    const target = { host: "localhost", port: 1, tls: false, token: "", own: true };
    const server = { version: "0.1.0", free: 0, pid: null };
    const plan: BenchPlan = {
      ...{ target, server, topic: "x", ownTopic: true, size: 128 },
      ...{ count: 5_000, producers: 1, consumers: 1, rate: 1_000 },
    };
    const unmeasured = { roundTrip: null, acknowledged: null, delivered: null };
    const crowded = using(
      { machine: 0.95 },
      { faults: none, retried: 2, interrupted: true, planned: 5_000, ...unmeasured },
    );
    const text = asText(plan, crowded, String);
    expect(text).toMatch(/^note +interrupted: 5,000 messages were to be sent$/m);
    expect(text).toMatch(/^check +every message arrived exactly once$/m);
    expect(text).toMatch(/^full +2 sends found the server full/m);
    expect(text).toMatch(/^hint +this machine had no CPU time left/m);
    expect(text).toMatch(/^delivered( +-){5}$/m);
    expect(asText({ ...plan, rate: 2_000 }, crowded, String)).toContain(
      "not held: 1,000 of 2,000 messages/s",
    );
  });

  test("a rate that is held is the limit, one that is not is none", () => {
    const busy = using({ producers: [1] });
    expect([holdsRate({ rate: 1_000 }, busy), findLimit({ rate: 1_000 }, busy)]).toEqual([true, "rate"]);
    expect([holdsRate({ rate: 2_000 }, busy), findLimit({ rate: 2_000 }, busy)]).toEqual([
      false,
      "producers",
    ]);
  });
});

test.each([
  [0, "0 µs"],
  [8.254, "8.25 µs"],
  [999.4, "999 µs"],
  [999.6, "1 ms"],
  [4_130, "4.13 ms"],
  [999_600, "1 s"],
  [61_000_000, "61 s"],
])("%d µs: %s", (micros, text) => {
  expect(formatMicros(micros)).toBe(text);
});
