/** A lease beside one that notes every position. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { Lease } from "../../src/client/positions.ts";

interface Step {
  readonly kind: "receive" | "done" | "below" | "settled" | "take";
  readonly at: number;
  readonly length: number;
}

/** Positions of [from, to). */
const span = (from: number, to: number) =>
  Array.from({ length: Math.max(0, to - from) }, (_, index) => from + index);

class NaiveLease {
  end = 0;
  readonly settled = new Set<number>();
  /** What the server knows to be settled. */
  readonly told = new Set<number>();

  /** Does one step to both. */
  step(lease: Lease, { kind, at, length }: Step): void {
    const to = Math.min(this.end, at + length);
    switch (kind) {
      case "receive":
        this.end += length;
        lease.end += length;
        return;
      case "done":
        if (at >= this.end) return;
        lease.done(at);
        this.settled.add(at);
        return;
      case "below":
        if (at > this.end) return;
        lease.doneBelow(at);
        for (const position of span(0, at)) this.settled.add(position);
        return;
      case "settled":
        lease.settled(at, to);
        for (const position of span(at, to)) {
          this.settled.add(position);
          this.told.add(position);
        }
        return;
      case "take":
        this.take(lease);
    }
  }

  take(lease: Lease): void {
    const { count = 0, ranges } = lease.take();
    for (const position of span(0, count)) this.told.add(position);
    for (const range of ranges) {
      for (const position of span(range.position, range.position + range.count)) this.told.add(position);
    }
    expect(this.told).toEqual(this.settled);
    expect(lease.isDirty).toBe(false);
  }
}

const step: fc.Arbitrary<Step> = fc.record({
  kind: fc.constantFrom("receive", "done", "done", "done", "below", "settled", "take"),
  at: fc.nat(40),
  length: fc.integer({ min: 1, max: 6 }),
});

test("a lease equals a naive one, whatever is settled in whatever order", () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const lease = new Lease();
      const naive = new NaiveLease();
      for (const next of steps) {
        naive.step(lease, next);
        for (const position of span(0, naive.end)) {
          expect(lease.isSettled(position)).toBe(naive.settled.has(position));
        }
        expect(lease.unsettled).toBe(naive.end - naive.settled.size);
        const to = Math.min(naive.end, next.at + next.length);
        const anyUnsettled = span(next.at, to).some((position) => !naive.settled.has(position));
        expect(lease.hasUnsettled(next.at, to)).toBe(anyUnsettled);
      }
    }),
    { numRuns: 500 },
  );
});
