/** Positions beside a class that notes each one. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { Positions } from "../../src/client/positions.ts";

interface Step {
  readonly kind: "receive" | "done" | "below" | "answer" | "gone" | "take";
  readonly at: number;
  readonly length: number;
}

/** Positions of [from, to). */
const span = (from: number, to: number) =>
  Array.from({ length: Math.max(0, to - from) }, (_, index) => from + index);

class NaivePositions {
  end = 0;
  readonly settled = new Set<number>();
  /** What the server knows to be settled. */
  readonly told = new Set<number>();
  /** What the program settled. */
  readonly answered = new Set<number>();

  /** Does one step to both. */
  step(positions: Positions, { kind, at, length }: Step): void {
    const to = Math.min(this.end, at + length);
    switch (kind) {
      case "receive":
        this.end += length;
        // Every message has ten bytes.
        positions.received(this.end, 10 * length);
        return;
      case "done":
        if (at >= this.end) return;
        positions.done(at);
        if (!this.settled.has(at)) this.answered.add(at);
        this.settled.add(at);
        return;
      case "below":
        if (at > this.end) return;
        positions.doneBelow(at);
        for (const position of span(0, at)) {
          if (!this.settled.has(position)) this.answered.add(position);
          this.settled.add(position);
        }
        return;
      case "answer":
        if (at >= this.end || this.settled.has(at)) return;
        positions.answer(at);
        for (const set of [this.settled, this.told, this.answered]) set.add(at);
        return;
      case "gone":
        positions.gone(at, to);
        for (const position of span(at, to)) {
          this.settled.add(position);
          this.told.add(position);
        }
        return;
      case "take":
        this.take(positions);
    }
  }

  take(positions: Positions): void {
    const { count = 0, ranges } = positions.take();
    for (const position of span(0, count)) this.told.add(position);
    for (const range of ranges) {
      for (const position of span(range.from, range.to)) this.told.add(position);
    }
    expect(this.told).toEqual(this.settled);
    expect(positions.isDirty).toBe(false);
  }
}

const step: fc.Arbitrary<Step> = fc.record({
  kind: fc.constantFrom("receive", "done", "done", "done", "below", "answer", "gone", "take"),
  at: fc.nat(40),
  length: fc.integer({ min: 1, max: 6 }),
});

test("positions equal those of a naive class, whatever is settled in whatever order", () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const positions = new Positions();
      const naive = new NaivePositions();
      for (const next of steps) {
        naive.step(positions, next);
        for (const position of span(0, naive.end)) {
          expect(positions.isSettled(position)).toBe(naive.settled.has(position));
        }
        expect(positions.unsettled).toBe(naive.end - naive.settled.size);
        expect(positions.heldBytes).toBe(10 * positions.unsettled);
        expect(positions.answered).toBe(naive.answered.size);
        const to = Math.min(naive.end, next.at + next.length);
        const anyUnsettled = span(next.at, to).some((position) => !naive.settled.has(position));
        expect(positions.hasUnsettled(next.at, to)).toBe(anyUnsettled);
      }
    }),
    { numRuns: 500 },
  );
});

test("what was handed out is told once, and not where an acknowledgement says it", () => {
  const positions = new Positions();
  positions.received(10, 10);
  expect(positions.takeHanded()).toBeUndefined();
  positions.handed = 3;
  expect(positions.isDirty).toBe(true);
  expect(positions.take()).toEqual({ count: undefined, ranges: [], handed: 3 });
  expect(positions.isDirty).toBe(false);
  positions.handed = 5;
  positions.doneBelow(5);
  expect(positions.take()).toEqual({ count: 5, ranges: [], handed: undefined });
  positions.handed = 7;
  expect(positions.takeHanded()).toBe(7);
  expect(positions.takeHanded()).toBeUndefined();
});
