/**
 * One producer of a benchmark. At most a window of messages is on its way to the server, each is sent again
 * until it is stored, and its latency counts from the first time.
 */
import { type Producer, QueueFull } from "../../src/index.ts";
import type { Body } from "./measuring/body.ts";
import { nowMicros } from "./measuring/clock.ts";
import { Histogram } from "./measuring/histogram.ts";
import { sendPaced } from "./measuring/pace.ts";
import type { Phase, Production } from "./protocol.ts";
import type { SharedCounts } from "./shared-counts.ts";

/** How long to wait, in ms, before a message is sent again to a server that had no room. */
const FULL_MS = 2;
/** How long to wait, in ms, for consumers that have to catch up. */
const CATCH_UP_MS = 1;
/** Without room for so long, in ms, the server is given up. */
const GIVE_UP_MS = 10_000;
const MICROS_PER_SECOND = 1e6;
const MICROS_PER_MS = 1e3;

export class Sender {
  readonly #producer: Producer<Uint8Array>;
  readonly #number: number;
  readonly #body: Body;
  readonly #counts: SharedCounts;

  /** `number`: the producer's, among all of the benchmark. */
  constructor(producer: Producer<Uint8Array>, number: number, body: Body, counts: SharedCounts) {
    this.#producer = producer;
    this.#number = number;
    this.#body = body;
    this.#counts = counts;
  }

  /** Sends its part of a phase; resolves when all is stored. Rejects with what `send()` rejects with. */
  run(phase: Phase): Promise<Production> {
    const part = new PhasePart(phase, this.#number, this.#counts, (id, micros) => {
      // One body will do: the client copies it at once.
      this.#body.setTime(micros);
      return this.#producer.send(this.#body.bytes, id);
    });
    return part.run();
  }
}

/** What one producer sends in one phase. */
class PhasePart {
  readonly #phase: Phase;
  readonly #number: number;
  readonly #counts: SharedCounts;
  readonly #send: (id: number, micros: number) => Promise<void>;
  /** Messages of this producer. */
  readonly #count: number;
  readonly #latency = new Histogram();
  readonly #startedAt = nowMicros();
  readonly #end = Promise.withResolvers<void>();
  /** The next one to be sent for the first time. */
  #next = 0;
  #inFlight = 0;
  #stored = 0;
  #retried = 0;
  #storedAt = this.#startedAt;
  /** Nothing is sent for the first time any more. */
  #isOver = false;

  constructor(
    phase: Phase,
    number: number,
    counts: SharedCounts,
    send: (id: number, micros: number) => Promise<void>,
  ) {
    this.#phase = phase;
    this.#number = number;
    this.#counts = counts;
    this.#send = send;
    this.#count = Math.max(0, Math.ceil((phase.count - number) / phase.producers));
  }

  async run(): Promise<Production> {
    if (this.#phase.rate > 0) this.#sendAtRate().catch(this.#end.reject);
    else this.#fillWindow();
    await this.#end.promise;
    return {
      startedAt: this.#startedAt,
      endedAt: this.#storedAt,
      stored: this.#stored,
      retried: this.#retried,
      latency: this.#latency,
    };
  }

  /** As fast as possible: half a window at a time, so that there is always another half under way. */
  #fillWindow(): void {
    if (this.#endsNow() || this.#inFlight > this.#phase.window >> 1) return;
    const room = this.#room();
    if (room <= 0 && this.#inFlight === 0) setTimeout(() => this.#fillWindow(), CATCH_UP_MS);
    const end = Math.min(this.#count, this.#next + room);
    if (this.#next >= end) return;
    const micros = nowMicros();
    while (this.#next < end) this.#sendNext(micros);
  }

  async #sendAtRate(): Promise<void> {
    const { rate, producers } = this.#phase;
    await sendPaced({
      firstDue: this.#startedAt + (this.#number * MICROS_PER_SECOND) / rate,
      interval: (producers * MICROS_PER_SECOND) / rate,
      count: this.#count,
      room: () => this.#room(),
      isOver: () => this.#endsNow(),
      send: (_, due) => this.#sendNext(due),
    });
    this.#endsNow();
  }

  /** Messages that may be sent now. */
  #room(): number {
    const { window, ahead } = this.#phase;
    return Math.min(window - this.#inFlight, ahead - (this.#counts.sent - this.#counts.received));
  }

  /** Whether it is over; ends the phase if all messages that were sent are stored, too. */
  #endsNow(): boolean {
    const { forMs } = this.#phase;
    const isLate = forMs > 0 && nowMicros() - this.#startedAt > forMs * MICROS_PER_MS;
    if (this.#next === this.#count || isLate || this.#counts.stopped) this.#isOver = true;
    if (this.#isOver && this.#inFlight === 0) this.#end.resolve();
    return this.#isOver;
  }

  #sendNext(micros: number): void {
    const { first, producers, unrecorded } = this.#phase;
    const id = first + this.#next * producers + this.#number;
    const recorded = this.#next >= unrecorded;
    this.#next += 1;
    this.#inFlight += 1;
    this.#counts.countSent(this.#number);
    this.#sendOne(id, micros, recorded);
  }

  #sendOne(id: number, micros: number, recorded: boolean): void {
    this.#send(id, micros).then(
      () => this.#onStored(micros, recorded),
      (error: unknown) => this.#onRefused(error, id, micros, recorded),
    );
  }

  #onStored(micros: number, recorded: boolean): void {
    this.#storedAt = nowMicros();
    if (recorded) this.#latency.record(this.#storedAt - micros);
    this.#stored += 1;
    this.#inFlight -= 1;
    this.#counts.countStored(this.#number);
    if (this.#phase.rate === 0) this.#fillWindow();
    else if (this.#isOver) this.#endsNow();
  }

  #onRefused(error: unknown, id: number, micros: number, recorded: boolean): void {
    const isHopeless = nowMicros() - Math.max(this.#storedAt, micros) > GIVE_UP_MS * MICROS_PER_MS;
    if (!(error instanceof QueueFull) || isHopeless) {
      this.#isOver = true;
      this.#end.reject(error);
      return;
    }
    this.#retried += 1;
    setTimeout(() => this.#sendOne(id, micros, recorded), FULL_MS);
  }
}
