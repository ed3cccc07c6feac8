/** What a log must do, with spare buffers and without. */
import { describe, expect, test } from "bun:test";
import { Batch, type Message } from "../../src/gen/tinymq/v1/queue.ts";
import type { Chunk } from "../../src/log/chunk.ts";
import { Log } from "../../src/log/log.ts";
import { Slab } from "../../src/log/slab.ts";
import { SlabPool } from "../../src/log/slab-pool.ts";
import { checkBatch } from "../../src/wire/scan.ts";
import { Random } from "../support/random.ts";
import { runs } from "../support/runs.ts";

const ALL = Number.MAX_SAFE_INTEGER;

function encode(messages: readonly Message[]): Uint8Array {
  return Batch.toBinary({ messages: [...messages] });
}

function bodyOf(length: number, fill = 1): Message {
  return { id: fill, body: new Uint8Array(length).fill(fill), headers: {} };
}

/** The messages of a chunk with their offsets; checks that all parts of the chunk agree. */
function messagesOf(chunk: Chunk): Map<number, Message> {
  let byteLength = 0;
  for (const part of chunk.parts) {
    byteLength += part.length;
    // Each part is a batch by itself: no part begins or ends within an entry.
    checkBatch(part, 0, part.length, ALL, ALL);
  }
  const { messages } = Batch.fromBinary(Buffer.concat([...chunk.parts]));
  const found = new Map<number, Message>();
  let last = -1;
  let next = 0;
  for (const { firstOffset, count } of chunk.runs) {
    expect(firstOffset).toBeGreaterThan(last);
    for (let index = 0; index < count; index++) found.set(firstOffset + index, messages[next++]!);
    last = firstOffset + count - 1;
  }
  expect({ count: chunk.count, byteLength: chunk.byteLength, next }).toEqual({
    count: messages.length,
    byteLength,
    next: messages.length,
  });
  expect(chunk.nextOffset).toBeGreaterThan(last);
  return found;
}

/** Everything in a log, by offset. */
export function readAll(log: Log): Map<number, Message> {
  const all = new Map<number, Message>();
  for (let from = 0; ; ) {
    const chunk = log.read(from, ALL, ALL);
    if (chunk === null) return all;
    for (const [offset, message] of messagesOf(chunk)) all.set(offset, message);
    from = chunk.nextOffset;
  }
}

/** Runs the cases; `workload`: how many runs of random operations. */
function logSuite(name: string, makePool: () => SlabPool, workload: number): void {
  const openLog = () => new Log(makePool());

  describe(`a log ${name}`, () => {
    test("messages come back as they were, in order, with growing offsets", () => {
      const log = openLog();
      const offsets: number[] = [];
      for (let batch = 0; batch < 5; batch++) {
        const first = log.append(encode([bodyOf(batch, 2 * batch), bodyOf(3, 2 * batch + 1)]), 2);
        offsets.push(first, first + 1);
      }
      expect(offsets).toEqual([...offsets].sort((one, other) => one - other));
      expect(new Set(offsets).size).toBe(10);
      expect(log.nextOffset).toBeGreaterThan(offsets.at(-1)!);
      expect(log.count).toBe(10);
      const all = readAll(log);
      expect([...all.keys()]).toEqual(offsets);
      expect([...all.values()].map(({ id }) => id)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    });

    test("the bytes are copied before append returns, and the order is that of the calls", () => {
      const log = openLog();
      const batch = encode([bodyOf(5, 1)]);
      log.append(batch, 1);
      batch.set(encode([bodyOf(5, 2)]));
      log.append(batch, 1);
      batch.fill(0);
      expect([...readAll(log).values()]).toEqual([bodyOf(5, 1), bodyOf(5, 2)]);
    });

    test("a read keeps to its limits, but has at least one message", () => {
      const log = openLog();
      const first = log.append(encode([bodyOf(10, 1), bodyOf(10, 2), bodyOf(10, 3)]), 3);
      const ids = (...limits: Parameters<Log["read"]>) => {
        const chunk = log.read(...limits);
        return chunk === null ? null : [...messagesOf(chunk).values()].map(({ id }) => id);
      };
      expect(ids(0, 2, ALL)).toEqual([1, 2]);
      expect(ids(0, ALL, 1)).toEqual([1]);
      expect(ids(0, ALL, 35)).toEqual([1, 2]);
      expect(ids(first + 1, ALL, ALL)).toEqual([2, 3]);
      expect(ids(0, ALL, ALL, first + 1)).toEqual([1]);
      expect(ids(first, ALL, ALL, first)).toBeNull();
      expect(ids(log.nextOffset, ALL, ALL)).toBeNull();
    });

    test("release is idempotent, and takes what is there", () => {
      const log = openLog();
      const first = log.append(encode([1, 2, 3, 4].map((fill) => bodyOf(1, fill))), 4);
      expect(log.release(first + 1, 2)).toBe(2);
      expect(log.release(first + 1, 2)).toBe(0);
      expect(log.release(0, first + 2)).toBe(1);
      expect([...readAll(log).keys()]).toEqual([first + 3]);
      expect(log.release(first + 3, 1_000_000)).toBe(1);
      expect(log.count).toBe(0);
      expect(log.read(0, ALL, ALL)).toBeNull();
    });

    test("an offset is never given twice, though the log was empty", () => {
      const log = openLog();
      const seen = new Set<number>();
      for (let round = 0; round < 20; round++) {
        const first = log.append(encode([bodyOf(300, 1)]), 1);
        expect(seen.has(first)).toBe(false);
        seen.add(first);
        log.release(first, 1);
      }
    });

    test("a restore gives the offsets that it is told, and an empty one moves the next", () => {
      const log = openLog();
      expect(log.append(encode([bodyOf(1), bodyOf(2)]), 2, 100)).toBe(100);
      log.append(encode([bodyOf(3)]), 1, 500);
      expect([...readAll(log).keys()]).toEqual([100, 101, 500]);
      log.append(new Uint8Array(0), 0, 900);
      expect(log.nextOffset).toBe(900);
      const first = log.append(encode([bodyOf(4)]), 1);
      expect(first).toBeGreaterThanOrEqual(900);
      expect(log.release(102, 398)).toBe(0);
      expect(readAll(log).size).toBe(4);
    });

    test("batches larger than any buffer, and messages of every size, come back whole", () => {
      const log = openLog();
      const messages = [0, 1, 127, 128, 300_000, 5, 1_048_000, 16_384, 262_144, 200_000, 7].map(bodyOf);
      log.append(encode(messages), messages.length);
      log.append(encode([...messages].reverse()), messages.length);
      const sizes = [...readAll(log).values()].map(({ body }) => body.length);
      const wanted = messages.map(({ body }) => body.length);
      expect(sizes).toEqual([...wanted, ...wanted.reverse()]);
    });

    test("memory is given back when a log is empty, and when it is dropped", () => {
      const log = openLog();
      const batch = encode(Array.from({ length: 1_000 }, () => bodyOf(100)));
      for (let round = 0; round < 20; round++) log.append(batch, 1_000);
      expect(log.memory).toBeGreaterThanOrEqual(20 * batch.length);
      expect(log.memory).toBeLessThan(1.2 * 20 * batch.length);
      log.release(0, log.nextOffset);
      expect([log.count, log.memory]).toEqual([0, 0]);
      log.append(batch, 1_000);
      log.drop();
      expect(log.memory).toBe(0);
    });

    test("memory grows by just what growth said, whatever the sizes, and what is there already", () => {
      const random = new Random(3);
      for (let round = 0; round < 25; round++) expectGrowth(openLog(), random);
    });

    test("a tight append takes the bytes of its messages and little else, behind whatever is there", () => {
      const random = new Random(4);
      for (let round = 0; round < 30; round++) {
        const log = openLog();
        for (let step = 0; step < 20; step++) {
          const size = random.pick([3, 1_000, 40_000, 200_000]);
          const batch = encode([bodyOf(size), bodyOf(size)]);
          const before = log.memory;
          const tight = random.chance(0.7);
          log.append(batch, 2, undefined, tight);
          // An index doubles.
          if (tight) expect(log.memory - before).toBeLessThanOrEqual(batch.length + 1_024);
        }
        expect(readAll(log).size).toBe(40);
      }
    });

    test("a log with one message costs a few hundred bytes", () => {
      const log = openLog();
      log.append(encode([bodyOf(10)]), 1);
      expect(log.memory).toBeLessThan(400);
    });

    test("one message that stays does not keep the memory of those around it", () => {
      const log = openLog();
      const batch = encode(Array.from({ length: 100 }, () => bodyOf(500)));
      const kept: number[] = [];
      for (let round = 0; round < 200; round++) {
        const first = log.append(batch, 100);
        if (round % 40 === 20) {
          kept.push(first + 50);
          log.release(first, 50);
          log.release(first + 51, 49);
        } else log.release(first, 100);
        expect(log.memory).toBeLessThan(2.5 * 262_144);
      }
      log.compact();
      expect([...readAll(log).keys()]).toEqual(kept);
      expect(log.count).toBe(5);
    });

    test("compacting keeps one message in each buffer, and little else", () => {
      const log = openLog();
      const batch = encode(Array.from({ length: 100 }, () => bodyOf(2_000)));
      for (let round = 0; round < 50; round++) log.append(batch, 100);
      const kept = [...readAll(log).keys()].filter((_, index) => index % 100 === 7);
      let last = 0;
      for (const offset of [...kept, log.nextOffset]) {
        log.release(last, offset - last);
        last = offset + 1;
      }
      log.compact();
      expect(log.memory).toBeLessThan(50 * 2_500 + 262_144 + 4_096);
      expect([...readAll(log).keys()]).toEqual(kept);
    });

    test("few small messages do not keep the memory of large ones around them, nor a large one that of many", () => {
      const log = openLog();
      // 250 KB in each buffer: one message of 200 KB, and 500 of 100 bytes.
      const batch = encode([bodyOf(200_000), ...Array.from({ length: 500 }, () => bodyOf(90))]);
      for (let round = 0; round < 20; round++) log.append(batch, 501);
      for (let round = 0; round < 20; round++) log.release(501 * round, 1);
      log.compact();
      expect(log.memory).toBeLessThan(20 * 60_000 + 262_144);
      const other = openLog();
      for (let round = 0; round < 20; round++) other.append(batch, 501);
      const full = other.memory;
      for (let round = 0; round < 20; round++) other.release(501 * round + 1, 500);
      // Four fifths live: to copy them would cost much and save little.
      other.compact();
      expect([other.count, other.memory > full - 262_144]).toEqual([20, true]);
    });

    test("compacting very many buffers takes several calls, each of which does some, and then all is done", () => {
      const log = openLog();
      const batch = encode(Array.from({ length: 4_000 }, () => bodyOf(50)));
      for (let round = 0; round < 200; round++) log.append(batch, 4_000);
      for (let message = 0; message < 800_000; message += 5) log.release(message, 4);
      let calls = 0;
      for (let before = Infinity; log.memory < before; calls++) {
        if (before < Infinity) expect(before - log.memory).toBeLessThan(4 * 1024 * 1024);
        before = log.memory;
        log.compact();
      }
      expect([calls > 5, log.count]).toEqual([true, 160_000]);
      expect(log.memory).toBeLessThan(160_000 * 110);
    });

    test("messages that are released one by one between compactions are not all counted each time", () => {
      const log = openLog();
      for (let round = 0; round < 2; round++)
        log.append(encode(Array.from({ length: 4_000 }, () => bodyOf(50))), 4_000);
      for (let message = 0; message < 4_000; message += 2) log.release(message, 1);
      let looks = 0;
      const { isReleased } = Slab.prototype;
      Slab.prototype.isReleased = function (ordinal) {
        looks += 1;
        return isReleased.call(this, ordinal);
      };
      try {
        for (let message = 1; message < 4_000; message += 2) {
          log.release(message, 1);
          log.compact();
        }
      } finally {
        Slab.prototype.isReleased = isReleased;
      }
      // A walk for each 64th that is released.
      expect(looks).toBeLessThan(70 * 4_000);
      expect(log.memory).toBeLessThan(2 * 262_144);
    });

    test("many sparse buffers are not merged into one that is larger than others", () => {
      const log = openLog();
      const batch = encode(Array.from({ length: 100 }, () => bodyOf(2_500)));
      for (let round = 0; round < 60; round++) log.append(batch, 100);
      for (let message = 0; message < 6_000; message += 5) log.release(message, 4);
      log.compact();
      const before = log.memory;
      // All but the last of what was merged goes, and its memory with it.
      log.release(0, 5_500);
      expect(log.memory).toBeLessThan(before / 4 + 262_144);
    });

    test("compacting never takes more memory, and does nothing where it cannot save any", () => {
      const pool = makePool();
      const log = new Log(pool);
      for (let round = 0; round < 20; round++) {
        log.append(encode(Array.from({ length: 1_000 }, () => bodyOf(20))), 1_000);
      }
      let takes = 0;
      const take = pool.take.bind(pool);
      pool.take = (size) => {
        takes += 1;
        return take(size);
      };
      for (let message = 0; message < 20_000; message += 2) log.release(message, 1);
      const before = log.memory;
      for (let again = 0; again < 3; again++) log.compact(1);
      expect([takes, log.memory]).toEqual([0, before]);
      // Together they leave large gaps.
      log.release(3_000, 10_000);
      for (let again = 0; again < 3; again++) log.compact(1);
      expect(takes).toBeGreaterThan(0);
      expect(log.memory).toBeLessThan(before - 50_000);
      expect(readAll(log).size).toBe(5_000);
    });

    test("chunks give all of a range, from slab to slab", () => {
      const log = openLog();
      for (let id = 0; id < 40; id++) log.append(encode([bodyOf(20_000, id)]), 1);
      log.release(7, 3);
      const offsets = [...log.chunks(5, 38)].flatMap((chunk) => [...messagesOf(chunk).keys()]);
      expect(offsets).toEqual([5, 6, ...Array.from({ length: 28 }, (_, index) => 10 + index)]);
      expect([...log.chunks(7, 10)]).toEqual([]);
    });

    test("one large batch is read from anywhere, in any order, and what that costs is charged", () => {
      const log = openLog();
      const messages = Array.from({ length: 8_192 }, (_, id) => bodyOf(id % 3, id));
      log.append(encode(messages), 8_192);
      const random = new Random(5);
      for (let look = 0; look < 200; look++) {
        const offset = random.below(8_192);
        const chunk = log.read(offset, 1, ALL, offset + 1)!;
        expect([...messagesOf(chunk)]).toEqual([[offset, messages[offset]!]]);
      }
      expect(readAll(log).size).toBe(8_192);
      expect(log.memory).toBeLessThan(encode(messages).length * 3);
      log.release(0, 8_191);
      log.release(8_191, 1);
      expect(log.memory).toBe(0);
    });

    test("logs of one pool are apart", () => {
      const pool = makePool();
      const [one, other] = [new Log(pool), new Log(pool)];
      one.append(encode([bodyOf(300_000, 1)]), 1);
      expect(other.count).toBe(0);
      one.drop();
      other.append(encode([bodyOf(300_000, 2)]), 1);
      expect([...readAll(other).values()]).toEqual([bodyOf(300_000, 2)]);
    });

    test("random operations do what a map does", () => {
      const { seed, numRuns = 1 } = runs(workload);
      for (let run = 0; run < numRuns; run++) {
        try {
          randomOperations(openLog(), new Random(seed + run));
        } catch (cause) {
          throw new Error(`seed ${seed + run}: set TINYMQ_TEST_SEED to it`, { cause });
        }
      }
    });
  });
}

test("a read with an end looks at nothing behind it, though all of that was released", () => {
  const log = new Log(new SlabPool());
  log.append(encode(Array.from({ length: 8_000 }, () => bodyOf(0))), 8_000);
  const { isReleased } = Slab.prototype;
  let looks = 0;
  Slab.prototype.isReleased = function (ordinal) {
    looks += 1;
    return isReleased.call(this, ordinal);
  };
  try {
    // The last first, as somebody may reject them.
    for (let offset = 7_999; offset > 0; offset--) {
      expect(log.read(offset, 1_024, 1_024, offset + 1)?.runs).toEqual([{ firstOffset: offset, count: 1 }]);
      log.release(offset, 1);
    }
  } finally {
    Slab.prototype.isReleased = isReleased;
  }
  expect(looks).toBeLessThan(8_000 * 10);
});

/** Small messages, some above half a buffer, some that just fit into one, and some that need one of their own. */
const SIZES = [3, 100, 5_000, 100_000, 131_000, 150_000, 262_100, 270_000, 300_000];

function expectGrowth(log: Log, random: Random): void {
  const usual = random.pick(SIZES);
  for (let step = 0; step < 12; step++) {
    const size = random.chance(0.8) ? usual : random.pick(SIZES);
    const count = 1 + random.below(size > 50_000 ? 4 : 60);
    const less = Math.min(size, 9_000);
    const batch = encode(Array.from({ length: count }, () => bodyOf(size - random.below(less))));
    const growth = log.growth(batch);
    const before = log.memory;
    log.append(batch, count);
    expect(log.memory - before).toBe(growth);
    if (random.chance(0.4)) log.release(random.below(log.nextOffset), 1 + random.below(2 * count));
    if (random.chance(0.2)) log.compact(random.pick([0.25, 1]));
  }
}

function randomOperations(log: Log, random: Random): void {
  const model = new Map<number, string>();
  const size = random.pick([20, 20, 300, 300, 3_000, 30_000]);
  let id = 0;
  for (let step = 0; step < 80; step++) {
    const action = random.next();
    if (action < 0.4) {
      const messages = Array.from({ length: 1 + random.below(30) }, () => ({
        id: id++,
        body: new Uint8Array(random.chance(0.002) ? 300_000 : random.below(size)).fill(id),
        headers: {},
      }));
      const gap = random.chance(0.1) ? log.nextOffset + random.below(1_000) : undefined;
      const first = log.append(encode(messages), messages.length, gap);
      for (const [index, message] of messages.entries()) model.set(first + index, nameOf(message));
    } else if (action < 0.65) {
      const first = random.below(log.nextOffset + 10);
      const count = random.chance(0.3) ? log.nextOffset : 1 + random.below(40);
      const there = [...model.keys()].filter((offset) => offset >= first && offset < first + count);
      expect(log.release(first, count)).toBe(there.length);
      for (const offset of there) model.delete(offset);
    } else if (action < 0.95) {
      checkRead(log, random, model);
    } else {
      log.compact();
    }
    expect(log.count).toBe(model.size);
    if (model.size === 0) expect(log.memory).toBe(0);
  }
  const all = [...readAll(log)].map(([offset, message]) => [offset, nameOf(message)]);
  expect(all).toEqual([...model].sort(([one], [other]) => one - other));
  log.release(0, log.nextOffset);
  expect(log.memory).toBe(0);
}

function checkRead(log: Log, random: Random, model: Map<number, string>): void {
  const from = random.below(log.nextOffset + 5);
  const end = random.chance(0.5) ? undefined : from + random.below(50);
  const maxMessages = 1 + random.below(60);
  const maxBytes = random.pick([1, 100, 10_000, ALL]);
  const wanted = [...model.keys()]
    .filter((offset) => offset >= from && offset < (end ?? Number.POSITIVE_INFINITY))
    .sort((one, other) => one - other);
  const chunk = log.read(from, maxMessages, maxBytes, end);
  if (chunk === null) {
    expect(wanted).toEqual([]);
    return;
  }
  const found = messagesOf(chunk);
  expect(found.size).toBeGreaterThan(0);
  expect(found.size).toBeLessThanOrEqual(maxMessages);
  if (found.size > 1) expect(chunk.byteLength).toBeLessThanOrEqual(maxBytes);
  expect([...found.keys()]).toEqual(wanted.slice(0, found.size));
  const names = [...found.values()].map(nameOf);
  expect(names).toEqual([...found.keys()].map((offset) => model.get(offset)!));
}

/** What tells a message, with all of its bytes, from all others. */
function nameOf({ id, body }: Message): string {
  return `${id}:${body.length}:${Bun.hash(body)}`;
}

logSuite("with spare buffers", () => new SlabPool(), 400);
logSuite("without", () => new SlabPool(0), 100);
