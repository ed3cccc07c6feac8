/** Whose frames are handled when: nobody waits for all that another client sent at once, and nothing overtakes. */
import { expect, test } from "bun:test";
import { FrameQueue, Turns } from "../../src/server/frame-queue.ts";
import { Random } from "../support/random.ts";

/** Clients whose frames take the time that their first byte says, in ms. */
class Clients {
  now = 0;
  /** What was handled: the client's name and the second byte of the frame. */
  readonly handled: string[] = [];
  readonly turns: Turns;
  #arranged: (() => void)[] = [];

  constructor() {
    this.turns = new Turns(
      () => this.now,
      (run) => this.#arranged.push(run),
    );
  }

  client(name: string): FrameQueue {
    return new FrameQueue(this.turns, (frame) => {
      this.now += frame[0]!;
      this.handled.push(`${name}${frame[1]}`);
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
