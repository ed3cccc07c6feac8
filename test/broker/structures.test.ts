/** The small structures of the broker, each against the plainest thing that does the same. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { type Due, DueHeap } from "../../src/broker/due-heap.ts";
import { IdTable } from "../../src/broker/inbound/id-table.ts";
import { Lease } from "../../src/broker/outbound/lease.ts";
import { RangeSet } from "../../src/broker/range-set.ts";
import { SortedList } from "../../src/broker/sorted-list.ts";
import { type Timer, Timers } from "../../src/broker/timers.ts";
import { type Buffering, OutboundBuffers } from "../../src/session/outbound-buffers.ts";
import { MAX_ID } from "../../src/wire/limits.ts";
import { FakeClock } from "../support/fake-clock.ts";
import { Random } from "../support/random.ts";
import { runs } from "../support/runs.ts";

const steps = <T>(step: fc.Arbitrary<T>) => fc.array(step, { minLength: 1, maxLength: 60, size: "max" });

test("a sorted list is a sorted array, however many come and go in its middle", () => {
  const random = new Random(7);
  const list = new SortedList<{ key: number }>(({ key }) => key);
  let model: { key: number }[] = [];
  for (let step = 0; step < 6_000; step++) {
    const key = random.below(20_000);
    const at = model.findIndex((item) => item.key >= key);
    const there = at >= 0 && model[at]!.key === key;
    // It grows for a while, and then it shrinks.
    if (random.chance(step < 4_000 ? 0.9 : 0.1)) {
      if (!there) {
        const item = { key };
        list.add(item);
        model.splice(at < 0 ? model.length : at, 0, item);
      }
    } else if (random.chance(0.5)) {
      expect(list.shift()).toBe(model.shift());
    } else if (at >= 0) {
      list.remove(model[at]!);
      model.splice(at, 1);
    }
    if (step === 5_900) {
      list.clear();
      model = [];
    }
    expect(list.length).toBe(model.length);
    expect(list.first()).toBe(model[0]);
    expect(list.last()).toBe(model.at(-1));
    const probe = random.below(20_000);
    expect(list.floor(probe)).toBe(model.findLast((item) => item.key <= probe));
    expect(list.above(probe)).toBe(model.find((item) => item.key > probe));
    if (step % 100 === 0) expect([...list]).toEqual(model);
  }
});

test("a range set is a map from offset to deliveries", () => {
  const step = fc.record({
    add: fc.boolean(),
    first: fc.nat(60),
    length: fc.nat(8),
    deliveries: fc.nat(2),
  });
  fc.assert(
    fc.property(steps(step), (todo) => {
      const set = new RangeSet();
      const model = new Map<number, number>();
      const within = (first: number, end: number) =>
        [...model]
          .filter(([offset]) => offset >= first && offset < end)
          .sort(([one], [other]) => one - other);
      for (const { add, first, length, deliveries } of todo) {
        const end = first + length;
        if (add) {
          if (within(first, end).length > 0) continue;
          set.add(first, end, deliveries);
          for (let offset = first; offset < end; offset++) model.set(offset, deliveries);
        } else {
          const wanted = within(first, end);
          expect(unfold(set.remove(first, end))).toEqual(wanted);
          for (const [offset] of wanted) model.delete(offset);
        }
        expect(unfold(set)).toEqual(within(0, 100));
        expect(set.count).toBe(model.size);
        expect(set.first()?.first).toBe(within(0, 100)[0]?.[0]);
        expectJoined([...set]);
      }
    }),
    runs(2_000),
  );
});

function unfold(ranges: Iterable<{ first: number; end: number; deliveries: number }>): [number, number][] {
  const all: [number, number][] = [];
  for (const { first, end, deliveries } of ranges) {
    expect(first).toBeLessThan(end);
    for (let offset = first; offset < end; offset++) all.push([offset, deliveries]);
  }
  return all;
}

/** Neighbours that say the same are one range: or the set would grow with every message that is given back. */
function expectJoined(ranges: { first: number; end: number; deliveries: number }[]): void {
  for (const [index, range] of ranges.entries()) {
    const next = ranges[index + 1];
    if (next?.first === range.end && next.deliveries === range.deliveries) {
      // A removal may leave two that touch only where something else stood between them.
      throw new Error(`[${range.first}, ${range.end}) and [${next.first}, ${next.end}) are apart`);
    }
  }
}

test("a lease is an array of positions", () => {
  const step = fc.record({
    kind: fc.constantFrom("add", "add", "below", "take", "all"),
    from: fc.nat(80),
    length: fc.integer({ min: 1, max: 9 }),
    gap: fc.nat(3),
  });
  fc.assert(
    fc.property(steps(step), (todo) => {
      const lease = new Lease();
      const model: ({ offset: number; deliveries: number } | null)[] = [];
      let offset = 0;
      const pick = (from: number, to: number) => {
        const picked: [number, number, number][] = [];
        for (let position = from; position < Math.min(to, model.length); position++) {
          const entry = model[position];
          if (entry != null) picked.push([position, entry.offset, entry.deliveries]);
          model[position] = null;
        }
        return picked;
      };
      for (const { kind, from, length, gap } of todo) {
        if (kind === "add") {
          offset += gap;
          lease.add(offset, length, gap);
          for (let index = 0; index < length; index++) model.push({ offset: offset++, deliveries: gap });
        } else if (kind === "below") {
          const settled: number[] = [];
          lease.takeBelow(from, (first, count) => {
            for (let index = 0; index < count; index++) settled.push(first + index);
          });
          expect(settled).toEqual(pick(0, from).map(([, at]) => at));
        } else {
          const taken = kind === "all" ? lease.takeAll() : lease.take(from, from + length);
          const wanted = kind === "all" ? pick(0, model.length) : pick(from, from + length);
          expect(positions(taken)).toEqual(wanted);
        }
        expect(lease.nextPosition).toBe(model.length);
        expect(positions(lease).length).toBe(model.filter((entry) => entry !== null).length);
      }
    }),
    runs(2_000),
  );
});

function positions(
  leased: Iterable<{ position: number; firstOffset: number; count: number; deliveries: number }>,
): [number, number, number][] {
  const all: [number, number, number][] = [];
  for (const { position, firstOffset, count, deliveries } of leased) {
    expect(count).toBeGreaterThan(0);
    for (let index = 0; index < count; index++) all.push([position + index, firstOffset + index, deliveries]);
  }
  return all;
}

interface Named extends Due {
  readonly name: number;
}

test("a heap of due things is a sorted array", () => {
  const step = fc.record({
    kind: fc.constantFrom("push", "push", "push", "shift", "remove", "at"),
    due: fc.nat(9),
  });
  fc.assert(
    fc.property(steps(step), (todo) => {
      const heap = new DueHeap<Named>();
      let model: Named[] = [];
      for (const [name, { kind, due }] of todo.entries()) {
        if (kind === "push") {
          const entry = { due, name, order: 0, slot: -1 };
          heap.push(entry);
          model.push(entry);
          // Stable: of those due together the first is first.
          model.sort((one, other) => one.due - other.due);
        } else if (kind === "shift") expect(heap.shift()).toBe(model.shift());
        else if (kind === "remove") {
          const [entry] = model.splice(name % (model.length + 1), 1);
          if (entry !== undefined) heap.remove(entry);
          // A second time does nothing.
          if (entry !== undefined) heap.remove(entry);
        } else {
          const entry = heap.at(due);
          expect(entry !== undefined).toBe(due < model.length);
          if (entry !== undefined) heap.remove(entry);
          model = model.filter((other) => other !== entry);
        }
        expect(heap.first()).toBe(model[0]);
        expect(heap.sorted()).toEqual(model);
        expect(heap.length).toBe(model.length);
      }
    }),
    runs(2_000),
  );
});

test("timers run in the order in which they are due, each once, and not when they were cancelled", () => {
  const step = fc.record({ kind: fc.constantFrom("set", "set", "cancel", "advance"), value: fc.nat(20) });
  fc.assert(
    fc.property(steps(step), (todo) => {
      const clock = new FakeClock();
      const timers = new Timers(clock);
      const ran: number[] = [];
      const set: Timer[] = [];
      let model: { name: number; due: number }[] = [];
      const wanted: number[] = [];
      for (const { kind, value } of todo) {
        if (kind === "set") {
          const name = set.length;
          set.push(timers.after(value, () => ran.push(name)));
          model.push({ name, due: clock.now() + value });
        } else if (kind === "cancel") {
          const name = value % (set.length + 1);
          timers.cancel(set[name] ?? null);
          model = model.filter((timer) => timer.name !== name);
        } else {
          clock.advance(value);
          const due = model
            .filter((timer) => timer.due <= clock.now())
            .sort((one, other) => one.due - other.due);
          model = model.filter((timer) => timer.due > clock.now());
          wanted.push(...due.map(({ name }) => name));
        }
        expect(ran).toEqual(wanted);
        expect(timers.waiting).toBe(model.length);
      }
    }),
    runs(2_000),
  );
});

test("one that sets itself again for a time that has passed lets the others run that were due", () => {
  const clock = new FakeClock();
  const timers = new Timers(clock);
  const ran: string[] = [];
  const again = () => {
    ran.push("again");
    if (ran.length < 100) timers.at(10, again);
  };
  timers.at(10, again);
  timers.at(20, () => ran.push("other"));
  // Both are due, as after a long turn of somebody else.
  clock.skip(30);
  timers.runDue();
  expect(ran.slice(0, 2)).toEqual(["again", "other"]);
});

test("a timer that sets one for now does not keep the others waiting, and none runs after close", () => {
  const clock = new FakeClock();
  const timers = new Timers(clock);
  const ran: string[] = [];
  timers.after(5, () => {
    ran.push("first");
    timers.after(0, () => ran.push("set by the first"));
  });
  timers.after(5, () => ran.push("second"));
  clock.advance(5);
  expect(ran).toEqual(["first", "second", "set by the first"]);
  timers.after(1, () => ran.push("never"));
  timers.close();
  clock.advance(10);
  expect(ran).toHaveLength(3);
});

/** A client whose buffer the test fills. */
class Reader implements Buffering {
  bufferedBytes = 0;
  code = "";
  fail(error: { code: string }): void {
    this.code = error.code;
  }
}

test("timers that take long together run some at a time, in order, and none is left", () => {
  let time = 0;
  let turn: (() => void) | null = null;
  const clock = {
    now: () => time,
    wall: () => time,
    after: (_ms: number, run: () => void) => {
      turn = run;
      return () => {
        turn = null;
      };
    },
  };
  const timers = new Timers(clock);
  const ran: number[] = [];
  for (let which = 0; which < 1_000; which++) {
    timers.at(5, () => {
      ran.push(which);
      time += 1;
    });
  }
  time = 5;
  for (let turns = 0; turn !== null; turns++) {
    const run: () => void = turn;
    const before = ran.length;
    turn = null;
    run();
    expect(ran.length - before).toBeLessThanOrEqual(11);
    expect(turns).toBeLessThan(100);
  }
  expect(ran).toEqual(Array.from({ length: 1_000 }, (_, which) => which));
});

test("what waits to be sent is charged, and the fullest are closed when it is too much", () => {
  const step = fc.record({ who: fc.nat(5), bytes: fc.nat(60), gone: fc.nat(9) });
  fc.assert(
    fc.property(steps(step), (todo) => {
      let charged = 0;
      const buffers = new OutboundBuffers(
        100,
        (bytes) => {
          charged += bytes;
        },
        () => {},
      );
      let clients = Array.from({ length: 6 }, () => new Reader());
      for (const { who, bytes, gone } of todo) {
        const client = clients[who % clients.length]!;
        const before = clients.map(({ bufferedBytes }) => bufferedBytes);
        client.bufferedBytes = bytes;
        if (gone === 0) buffers.forget(client);
        else buffers.update(client);
        if (gone === 0) client.bufferedBytes = 0;
        const closed = clients.filter(({ code }) => code !== "");
        for (const one of closed) {
          expect(one.code).toBe("RESOURCE_EXHAUSTED");
          const others = clients.filter(({ code }) => code === "");
          for (const other of others) expect(one.bufferedBytes).toBeGreaterThanOrEqual(other.bufferedBytes);
        }
        if (closed.length === 0) expect(before.length).toBe(clients.length);
        clients = clients.map((one) => (one.code === "" ? one : new Reader()));
        const total = clients.reduce((sum, { bufferedBytes }) => sum + bufferedBytes, 0);
        expect([buffers.total, charged]).toEqual([total, total]);
        expect(total).toBeLessThanOrEqual(100);
      }
    }),
    runs(1_000),
  );
});

test("a table of ids is a map, also for ids that fill it and for the largest; clear() empties it", () => {
  const random = new Random(11);
  const table = new IdTable();
  const model = new Map<number, number>();
  for (let step = 0; step < 200_000; step++) {
    const id = random.chance(0.5) ? random.below(30_000) : MAX_ID - random.below(30_000);
    if (random.chance(step % 100_000 < 60_000 ? 0.8 : 0.1)) {
      table.set(id, step);
      model.set(id, step);
    } else expect(table.delete(id)).toBe(model.delete(id));
    const other = random.below(30_000);
    if (table.get(other) !== model.get(other) || table.size !== model.size) throw new Error(`step ${step}`);
  }
  const inOrder = (items: Iterable<[number, number]>) => [...items].sort(([one], [other]) => one - other);
  expect(inOrder(table)).toEqual(inOrder(model));
  table.clear();
  expect([table.size, [...table], table.get(1)]).toEqual([0, [], undefined]);
});

test("of a million ids in a row none makes the table copy many others, and the copies are spread; they all go", () => {
  const table = new IdTable();
  /** Bytes by which the table grew for every 1,000 ids. */
  const grew: number[] = [];
  let largest = 0;
  for (let id = 0; id < 1_000_000; id++) {
    if (id % 1_000 === 0) grew.push(0);
    const before = table.memory;
    table.set(id, 1);
    const growth = table.memory - before;
    largest = Math.max(largest, growth);
    grew[grew.length - 1]! += growth;
  }
  // A part that doubles: it has a 46th of all at most.
  expect(largest).toBeLessThanOrEqual(16 * 32_768);
  // What grows one after the other is never a large share of all.
  expect(Math.max(...grew)).toBeLessThan(table.memory / 8);
  expect(table.memory).toBeLessThan(48 * 1_000_000);
  for (let id = 0; id < 1_000_000; id++) table.delete(id);
  expect([table.size, table.memory]).toEqual([0, 0]);
});
