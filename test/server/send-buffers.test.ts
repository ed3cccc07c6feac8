/** What waits to be sent, of all clients: seen, charged and bounded, with clients whose buffers the test fills. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { OutboundBuffers, type Subscribing } from "../../src/session/outbound-buffers.ts";
import { runs } from "../support/runs.ts";

const LIMIT = 1_000;
const SHARE = LIMIT / 4;
/** Less than this is not looked for. */
const LOOK = SHARE / 2;

/** A subscriber that reads nothing: what is handed to it waits, up to its own limit. */
class Frozen implements Subscribing {
  bufferedBytes = 0;
  code = "";
  /** Handed out by the runtime, and not in its buffer yet. */
  pending = 0;
  offers = 0;

  offer(frame: Uint8Array): void {
    this.offers += 1;
    this.drainPending();
    this.bufferedBytes += frame.length;
  }

  drainPending(): void {
    this.bufferedBytes += this.pending;
    this.pending = 0;
  }

  fail(error: { code: string }): void {
    this.code = error.code;
  }
}

class Stage {
  charged = 0;
  mostCharged = 0;
  readonly due: (() => void)[] = [];
  readonly buffers = new OutboundBuffers(
    LIMIT,
    (bytes) => {
      this.charged += bytes;
      this.mostCharged = Math.max(this.mostCharged, this.charged);
    },
    (run) => void this.due.push(run),
  );
  readonly topics = new Map<string, Frozen[]>();
  /** How often the runtime's own fan-out was used. */
  published = 0;

  join(topic: string, count: number): Frozen[] {
    const members = Array.from({ length: count }, () => new Frozen());
    for (const member of members) this.buffers.addSubscriber(topic, member);
    this.topics.set(topic, [...(this.topics.get(topic) ?? []), ...members]);
    return members;
  }

  publish(topic: string, bytes: number): void {
    this.buffers.publish(topic, new Uint8Array(bytes), () => {
      this.published += 1;
      for (const member of this.alive(topic)) member.pending += bytes;
    });
  }

  /** The end of a turn: the runtime hands out what it has, then timers run. */
  turn(): void {
    for (const members of this.topics.values()) {
      for (const member of members) if (member.code === "") member.drainPending();
    }
    for (const run of this.due.splice(0)) run();
  }

  alive(topic: string): Frozen[] {
    return (this.topics.get(topic) ?? []).filter(({ code }) => code === "");
  }

  /** All that waits, in truth. */
  get held(): number {
    let held = 0;
    for (const topic of this.topics.keys()) {
      for (const { bufferedBytes, pending } of this.alive(topic)) held += bufferedBytes + pending;
    }
    return held;
  }
}

describe("published frames", () => {
  test("whatever is published to whom: what waits is bounded at every moment, and charged but for a little", () => {
    const step = fc.oneof(
      fc.record({
        topic: fc.constantFrom("a", "b", "c"),
        bytes: fc.integer({ min: 1, max: 60 }),
        join: fc.constant(0),
      }),
      fc.record({
        topic: fc.constantFrom("a", "b", "c"),
        bytes: fc.constant(0),
        join: fc.integer({ min: 1, max: 9 }),
      }),
      fc.constant({ topic: "", bytes: 0, join: 0 }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const stage = new Stage();
        for (const { topic, bytes, join } of steps) {
          if (join > 0) stage.join(topic, join);
          else if (bytes > 0) stage.publish(topic, bytes);
          else stage.turn();
          // And what one client was just handed.
          expect(stage.held).toBeLessThanOrEqual(LIMIT + SHARE);
        }
        stage.turn();
        expect(stage.charged).toBe(stage.buffers.total);
        expect(stage.held - stage.charged).toBeLessThan(LOOK);
        for (const topic of stage.topics.keys()) {
          for (const member of stage.topics.get(topic)!) stage.buffers.forget(member);
        }
        expect([stage.charged, stage.buffers.total]).toEqual([0, 0]);
      }),
      runs(500),
    );
  });

  test("a frame that is too large for all of them at once goes one by one, and the fullest are closed for it", () => {
    const stage = new Stage();
    const members = stage.join("large", 100);
    stage.publish("large", 100);
    expect([stage.published, stage.held <= LIMIT, stage.mostCharged <= LIMIT + 100]).toEqual([0, true, true]);
    expect(members.filter(({ code }) => code === "RESOURCE_EXHAUSTED")).toHaveLength(90);
  });

  test("frames for few go through the runtime, as long as a turn stays small", () => {
    const stage = new Stage();
    stage.join("few", 2);
    for (let turn = 0; turn < 5; turn++) {
      for (let count = 0; count < 12; count++) stage.publish("few", 10);
      for (const member of stage.alive("few")) {
        member.bufferedBytes = 0;
        member.pending = 0;
      }
      stage.turn();
    }
    expect([stage.published, stage.held]).toEqual([60, 0]);
  });

  test("nothing is handed out where nobody subscribes, nor once everybody has left", () => {
    const stage = new Stage();
    stage.publish("nobody", 10);
    const [only] = stage.join("nobody", 1);
    stage.buffers.forget(only!);
    stage.publish("nobody", 10);
    expect([stage.published, stage.due.length]).toEqual([0, 0]);
  });

  test("a frame is the same for all, though somebody's end publishes another one meanwhile", () => {
    const frame = new Uint8Array(400).fill(1);
    const got: number[] = [];
    const buffers = new OutboundBuffers(
      LIMIT,
      () => {},
      () => {},
    );
    for (let count = 0; count < 5; count++) {
      const member: Subscribing = {
        bufferedBytes: 400,
        offer: (bytes) => void got.push(bytes[0]!),
        // The writer's buffer is used again.
        fail: () => void frame.fill(2),
      };
      buffers.addSubscriber("shared", member);
    }
    buffers.publish("shared", frame, () => {});
    expect(got).toEqual([1, 1, 1, 1, 1]);
  });
});

test("closed connections hold what they may for as long as they may, and no more", () => {
  const stage = new Stage();
  const { buffers } = stage;
  expect([buffers.linger(0), buffers.linger(SHARE), buffers.linger(1)]).toEqual([true, true, false]);
  expect([stage.charged, buffers.total]).toEqual([SHARE, 0]);
  buffers.lingered(SHARE);
  expect([stage.charged, buffers.linger(1)]).toEqual([0, true]);
});
