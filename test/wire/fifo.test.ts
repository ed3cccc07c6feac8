/** The queue of both ends against an array. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { Fifo } from "../../src/wire/fifo.ts";
import { runs } from "../support/runs.ts";

test("a fifo is an array, whatever is taken out of its middle", () => {
  const step = fc.record({
    kind: fc.constantFrom("push", "push", "shift", "splice", "clear"),
    at: fc.nat(200),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 300, size: "max" }), (todo) => {
      const fifo = new Fifo<number>();
      const model: number[] = [];
      for (const [name, { kind, at }] of todo.entries()) {
        if (kind === "push") {
          for (let copy = 0; copy < 5; copy++) {
            fifo.push(name);
            model.push(name);
          }
        } else if (kind === "shift") {
          for (let copy = 0; copy < at % 9; copy++) expect(fifo.shift()).toBe(model.shift());
        } else if (kind === "splice") {
          const index = at % (model.length + 1);
          expect(fifo.splice(index, at % 4, name, -name)).toEqual(model.splice(index, at % 4, name, -name));
        } else if (at < 20) {
          fifo.clear();
          model.length = 0;
        }
        expect(fifo.length).toBe(model.length);
        expect(fifo.first()).toBe(model[0]);
        expect(fifo.at(3)).toBe(model[3]);
        expect([...fifo]).toEqual(model);
      }
    }),
    runs(500),
  );
});

test("a fifo is an array that grows at one end and shrinks at the other", () => {
  fc.assert(
    fc.property(fc.array(fc.boolean(), { maxLength: 5_000, size: "max" }), (steps) => {
      const fifo = new Fifo<number>();
      const array: number[] = [];
      steps.forEach((push, index) => {
        if (push || index % 3 === 0) {
          fifo.push(index);
          array.push(index);
        } else {
          expect(fifo.shift()).toBe(array.shift()!);
        }
        expect(fifo.length).toBe(array.length);
        expect(fifo.first()).toBe(array[0]!);
        expect(fifo.last()).toBe(array.at(-1)!);
      });
      expect([...fifo]).toEqual(array);
      expect(fifo.drain()).toEqual(array);
      expect(fifo.length).toBe(0);
    }),
    { numRuns: 20 },
  );
});
