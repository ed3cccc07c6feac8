/** Whose frames are handled when: nobody waits for all that another client sent at once, and nothing overtakes. */
import { expect, test } from "bun:test";
import { FrameQueue, Turns } from "../../src/server/frame-queue.ts";
import { Random } from "../support/random.ts";

/** Clients whose frames take the time that their first byte says, in ms. */
class Clients {
  now = 0;
  /** What was handled: the client's name and the second byte of the frame. */
  readonly handled: string[] = [];
  /** Those that were to be ended. */
  readonly overrun: string[] = [];
  readonly turns: Turns;
  #arranged: (() => void)[] = [];

  constructor() {
    this.turns = new Turns(
      () => this.now,
      (run) => this.#arranged.push(run),
    );
  }

  client(name: string): FrameQueue {
    return new FrameQueue(this.turns, {
      handle: (frame) => {
        this.now += frame[0]!;
        this.handled.push(`${name}${frame[1]}`);
      },
      overrun: () => this.overrun.push(name),
    });
  }

  /** The event loop goes on; false if nothing was arranged. */
  turn(): boolean {
    const arranged = this.#arranged;
    this.#arranged = [];
    for (const run of arranged) run();
    return arranged.length > 0;
  }
}

const frame = (ms: number, number: number, byteLength = 2) => {
  const bytes = new Uint8Array(byteLength);
  bytes.set([ms, number]);
  return bytes;
};

test("what takes no time is handled at once, however much it is", () => {
  const clients = new Clients();
  const queue = clients.client("a");
  for (let number = 0; number < 200; number++) queue.push(frame(0, number));
  expect(clients.handled).toHaveLength(200);
  expect(clients.turn()).toBe(false);
});

test("who has taken 10 ms pauses for the others, and goes on in the next turn", () => {
  const clients = new Clients();
  const [long, short] = [clients.client("long"), clients.client("short")];
  for (let number = 0; number < 5; number++) long.push(frame(6, number));
  short.push(frame(1, 0));
  expect(clients.handled.splice(0)).toEqual(["long0", "long1", "short0"]);
  clients.turn();
  short.push(frame(1, 1));
  expect(clients.handled.splice(0)).toEqual(["long2", "long3", "short1"]);
  // It used its time again, so what comes waits behind what waits.
  long.push(frame(1, 5));
  expect(clients.handled).toEqual([]);
  while (clients.turn());
  expect(clients.handled.splice(0)).toEqual(["long4", "long5"]);
  long.push(frame(1, 6));
  expect(clients.handled).toEqual(["long6"]);
  expect(clients.turns.byteLength).toBe(0);
});

test("those that pause go on in rotation, some in each turn", () => {
  const clients = new Clients();
  const queues = ["a", "b", "c"].map((name) => clients.client(name));
  for (const queue of queues) for (let number = 0; number < 3; number++) queue.push(frame(15, number));
  expect(clients.handled.splice(0)).toEqual(["a0", "b0", "c0"]);
  clients.turn();
  expect(clients.handled.splice(0)).toEqual(["a1", "b1"]);
  clients.turn();
  expect(clients.handled.splice(0)).toEqual(["c1", "a2"]);
  clients.turn();
  expect(clients.handled.splice(0)).toEqual(["b2", "c2"]);
});

test("flush() handles all that waits, in order, and the turn that was arranged finds nothing", () => {
  const clients = new Clients();
  const queue = clients.client("a");
  for (let number = 0; number < 4; number++) queue.push(frame(10, number));
  expect(clients.handled).toEqual(["a0"]);
  queue.flush();
  expect(clients.handled).toEqual(["a0", "a1", "a2", "a3"]);
  while (clients.turn());
  expect(clients.handled).toHaveLength(4);
});

test("finish() goes on with what waits, in turns, and tells when nothing does", () => {
  const clients = new Clients();
  const inTurns = clients.client("a");
  for (let number = 0; number < 4; number++) inTurns.push(frame(10, number));
  inTurns.finish(() => clients.handled.push("done"));
  expect(clients.handled.splice(0)).toEqual(["a0", "a1"]);
  clients.turn();
  clients.turn();
  expect(clients.handled.splice(0)).toEqual(["a2", "a3", "done"]);
  const idle = clients.client("b");
  idle.finish(() => clients.handled.push("at once"));
  expect(clients.handled.splice(0)).toEqual(["at once"]);
  const flushed = clients.client("c");
  for (let number = 0; number < 4; number++) flushed.push(frame(10, number));
  flushed.finish(() => clients.handled.push("done"));
  flushed.flush();
  expect(clients.handled).toEqual(["c0", "c1", "c2", "c3", "done"]);
  while (clients.turn());
  expect(clients.handled).toHaveLength(5);
});

test("who sends more than waits, and takes half a second of one turn with it, is to be ended", () => {
  const clients = new Clients();
  const queue = clients.client("a");
  const MiB = 1024 * 1024;
  for (let number = 0; number < 10; number++) queue.push(frame(100, number, MiB / 2));
  // Four wait, and five were handled since they found no room: 500 ms.
  expect([clients.handled.length, clients.overrun]).toEqual([7, ["a"]]);
  const patient = clients.client("b");
  for (let number = 0; number < 40; number++) {
    patient.push(frame(100, number, MiB / 2));
    if (number % 4 === 3) clients.turn();
  }
  expect(clients.overrun).toEqual(["a"]);
});

test("where a handler throws, the others go on, and so do the frames behind", () => {
  const clients = new Clients();
  const handled: number[] = [];
  const faulty = new FrameQueue(clients.turns, {
    handle(frame) {
      clients.now += 10;
      if (frame[1] === 1) throw new Error("a fault");
      handled.push(frame[1]!);
    },
    overrun() {},
  });
  const other = clients.client("other");
  for (let number = 0; number < 4; number++) faulty.push(frame(0, number));
  for (let number = 0; number < 3; number++) other.push(frame(10, number));
  expect(() => clients.turn()).toThrow("a fault");
  while (clients.turn());
  expect(handled).toEqual([0, 2, 3]);
  expect(clients.handled).toEqual(["other0", "other1", "other2"]);
  expect(clients.turns.byteLength).toBe(0);
});

test("one client's frames and all together are bounded in bytes: the oldest is handled where there is no room", () => {
  const clients = new Clients();
  const MiB = 1024 * 1024;
  const queues = Array.from({ length: 40 }, (_, index) => clients.client(`${index}-`));
  for (const queue of queues) {
    queue.push(frame(10, 0));
    for (let number = 1; number < 30; number++) queue.push(frame(10, number, MiB / 4));
    expect(clients.turns.byteLength).toBeLessThanOrEqual(8 * MiB);
  }
  const before = clients.handled.filter((handled) => handled.startsWith("0-"));
  // 2 MiB of 7.25: seven frames, for each has a little beside its bytes.
  expect(before).toEqual(Array.from({ length: 23 }, (_, number) => `0-${number}`));
  while (clients.turn());
  expect(clients.handled).toHaveLength(40 * 30);
  expect(clients.turns.byteLength).toBe(0);
});

test("whatever comes when, each client's frames are handled in order and once", () => {
  const random = new Random(5);
  const clients = new Clients();
  const queues = Array.from({ length: 5 }, (_, index) => clients.client(`${index}-`));
  const sent = queues.map(() => 0);
  for (let step = 0; step < 20_000; step++) {
    const which = random.below(5);
    if (random.chance(0.2)) clients.turn();
    else if (random.chance(0.05)) queues[which]!.flush();
    else queues[which]!.push(frame(random.below(8), sent[which]!++ % 256, 2 + random.below(100_000)));
  }
  while (clients.turn());
  for (const [which, count] of sent.entries()) {
    const own = clients.handled.filter((handled) => handled.startsWith(`${which}-`));
    expect(own).toEqual(Array.from({ length: count }, (_, number) => `${which}-${number % 256}`));
  }
});
