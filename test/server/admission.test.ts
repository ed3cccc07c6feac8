/** The queue of handshakes: how long a healthy client waits behind those that connect and say nothing. */
import { expect, test } from "bun:test";
import { Timers } from "../../src/broker/timers.ts";
import { Admission, type Place } from "../../src/server/admission.ts";
import { FakeClock } from "../support/fake-clock.ts";

const PLACES = 64;

class Door {
  readonly clock = new FakeClock();
  readonly admission = new Admission(new Timers(this.clock), 10_000, PLACES);
  evicted = 0;

  /** One that connects and says nothing; when it gets a place, it keeps it until it is evicted. */
  async silent(): Promise<void> {
    const place = await this.admission.enter();
    place.evict = () => {
      this.evicted += 1;
    };
  }

  /** One that opens at once: after how many ms it was let in. */
  async healthy(): Promise<number> {
    const since = this.clock.now();
    const place: Place = await this.admission.enter();
    this.admission.leave(place);
    return this.clock.now() - since;
  }

  async pass(ms: number): Promise<void> {
    for (let passed = 0; passed < ms; passed += 10) {
      for (let turn = 0; turn < 3; turn++) await Promise.resolve();
      this.clock.advance(10);
    }
  }
}

test("a healthy client waits at most a second behind as many silent ones as there are places", async () => {
  for (const connectedBefore of [0, 500, 990, 5_000]) {
    const door = new Door();
    for (let index = 0; index < PLACES; index++) void door.silent();
    await door.pass(connectedBefore);
    const waits = door.healthy();
    await door.pass(1_000);
    expect(await waits).toBeLessThanOrEqual(Math.max(0, 1_000 - connectedBefore));
    // No more than was needed.
    expect(door.evicted).toBe(1);
  }
});

test("behind silent ones that wait as well it is a second for each 64 of them, and the healthy cost it nothing", async () => {
  const door = new Door();
  for (let index = 0; index < 5 * PLACES; index++) void door.silent();
  const many = Array.from({ length: 300 }, () => door.healthy());
  await door.pass(5_000);
  const waits = await Promise.all(many);
  expect(Math.max(...waits)).toBeLessThanOrEqual(5_000);
  expect(door.evicted).toBeLessThanOrEqual(5 * PLACES);
});
