/**
 * One producer of a bench. Always holds: no more than the window is on its way to the server, each message
 * is sent again until it is stored, and its latency counts from the first time.
 */
import { type Producer, QueueFull } from "../../src/index.ts";
import type { Board } from "./board.ts";
import type { Body } from "./body.ts";
import { nowMicros } from "./clock.ts";
import { Histogram } from "./histogram.ts";
import type { Phase, Sent } from "./protocol.ts";

/** How long a server without room is left alone, in ms. */
const FULL_MS = 2;
/** How often it is looked at whether the consumers have caught up, in ms. */
const LOOK_AGAIN_MS = 1;
/** A server that has had no room for so long, in ms, will have none. */
const GIVE_UP_MS = 10_000;
/** Timers are too coarse below this, in µs: the rest is waited for in turns of the event loop. */
const COARSEST_TIMER = 2_000;
/** How long it may go unnoticed that it is time to stop, in ms. */
const LONGEST_SLEEP_MS = 20;
/** Late messages that are sent before the answers are looked at. */
const MOST_AT_ONCE = 512;
const MICROS_PER_SECOND = 1e6;
const MICROS_PER_MS = 1e3;

export class Sender {
  readonly #producer: Producer<Uint8Array>;
  readonly #number: number;
  readonly #body: Body;
  readonly #board: Board;

  constructor(producer: Producer<Uint8Array>, number: number, body: Body, board: Board) {
    this.#producer = producer;
    this.#number = number;
    this.#body = body;
    this.#board = board;
  }

  /** Sends its part of a phase; resolves when all is stored. Rejects with what `send()` rejects with. */
  run(phase: Phase): Promise<Omit<Sent, "cpu">> {
    const sending = new Sending(phase, this.#number, this.#board, (id, micros) => {
      this.#body.stamp(micros);
      return this.#producer.send(this.#body.bytes, id);
    });
    return sending.run();
  }
}

class Sending {
  readonly #phase: Phase;
  readonly #number: number;
  readonly #board: Board;
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
  #ended = false;

  constructor(
    phase: Phase,
    number: number,
    board: Board,
    send: (id: number, micros: number) => Promise<void>,
  ) {
    this.#phase = phase;
    this.#number = number;
    this.#board = board;
    this.#send = send;
    this.#count = Math.max(0, Math.ceil((phase.count - number) / phase.active));
  }

  async run(): Promise<Omit<Sent, "cpu">> {
    if (this.#phase.rate > 0) this.#pace();
    else this.#fill();
    await this.#end.promise;
    return {
      startedAt: this.#startedAt,
      endedAt: this.#storedAt,
      stored: this.#stored,
      retried: this.#retried,
      latency: this.#latency,
    };
  }

  /** As fast as it goes: half a window at a time, so that there is always another half under way. */
  #fill(): void {
    if (this.#isAtEnd() || this.#inFlight > this.#phase.window >> 1) return;
    const room = this.#room();
    if (room <= 0 && this.#inFlight === 0) setTimeout(() => this.#fill(), LOOK_AGAIN_MS);
    const end = Math.min(this.#count, this.#next + room);
    if (this.#next >= end) return;
    const micros = nowMicros();
    while (this.#next < end) this.#sendNext(micros);
  }

  /** Open loop: a message is due when it is, whatever became of the others, and its latency counts from there. */
  #pace(): void {
    if (this.#isAtEnd()) return;
    const { rate, active } = this.#phase;
    const interval = (active * MICROS_PER_SECOND) / rate;
    const first = this.#startedAt + (this.#number * interval) / active;
    const due = Math.floor((nowMicros() - first) / interval) + 1;
    const end = Math.min(this.#count, due, this.#next + Math.min(MOST_AT_ONCE, this.#room()));
    while (this.#next < end) this.#sendNext(first + this.#next * interval);
    const wait = first + this.#next * interval - nowMicros();
    const sleepMs = Math.min(LONGEST_SLEEP_MS, (wait - COARSEST_TIMER) / MICROS_PER_MS);
    if (sleepMs > 0) setTimeout(() => this.#pace(), sleepMs);
    else setImmediate(() => this.#pace());
  }

  /** Messages that may be sent now. */
  #room(): number {
    const { window, ahead } = this.#phase;
    return Math.min(window - this.#inFlight, ahead - (this.#board.sent - this.#board.received));
  }

  /** Whether nothing is sent for the first time any more. */
  #isAtEnd(): boolean {
    const { forMs } = this.#phase;
    const isOver = forMs > 0 && nowMicros() - this.#startedAt > forMs * MICROS_PER_MS;
    if (this.#next < this.#count && !isOver && !this.#board.stopped) return this.#ended;
    this.#ended = true;
    if (this.#inFlight === 0) this.#end.resolve();
    return true;
  }

  #sendNext(micros: number): void {
    const { first, active } = this.#phase;
    const id = first + this.#next * active + this.#number;
    const recorded = this.#next >= this.#phase.unrecorded;
    this.#next += 1;
    this.#inFlight += 1;
    this.#board.countSent(this.#number);
    this.#sendOne(id, micros, recorded);
  }

  #sendOne(id: number, micros: number, recorded: boolean): void {
    this.#send(id, micros).then(
      () => this.#isStored(micros, recorded),
      (error: unknown) => this.#failed(error, id, micros, recorded),
    );
  }

  #isStored(micros: number, recorded: boolean): void {
    this.#storedAt = nowMicros();
    if (recorded) this.#latency.record(this.#storedAt - micros);
    this.#stored += 1;
    this.#inFlight -= 1;
    this.#board.countStored(this.#number);
    if (this.#phase.rate === 0) this.#fill();
    else if (this.#ended) this.#isAtEnd();
  }

  #failed(error: unknown, id: number, micros: number, recorded: boolean): void {
    const hopeless = nowMicros() - Math.max(this.#storedAt, micros) > GIVE_UP_MS * MICROS_PER_MS;
    if (!(error instanceof QueueFull) || hopeless) {
      this.#ended = true;
      this.#end.reject(error);
      return;
    }
    this.#retried += 1;
    setTimeout(() => this.#sendOne(id, micros, recorded), FULL_MS);
  }
}
