/**
 * The frames of each client, in order. They are handled as they arrive; a client whose frames have taken `CLIENT_MS`
 * of `WINDOW_MS` pauses until others had their turn, and what it sent meanwhile waits, within bounds. So one client's
 * long work, sent all at once, does not keep others waiting for all of it. Those that pause go on in rotation.
 *
 * Always holds: a queue with waiting frames is paused; a turn is arranged if and only if one is paused.
 */
import { Fifo } from "../wire/fifo.ts";
import { KiB, MiB } from "../wire/limits.ts";

/** What the frames of one client may take of each window before it pauses, in ms. */
const CLIENT_MS = 10;
const WINDOW_MS = 100;
/** What those of clients that paused may take in one turn of the event loop, in ms. */
const TURN_MS = 20;
/**
 * Bytes that wait of one client, and of all: Bun goes on reading. Where there is no room for one more frame, the
 * client's oldest, or this one, is handled at once. A client for which that takes longer than `OVERRUN_MS` in one turn
 * is ended: nobody else is served meanwhile.
 */
const OVERRUN_MS = 500;
const MOST_BYTES = 2 * MiB;
const MOST_BYTES_OF_ALL = 8 * MiB;
/** What one waiting frame costs beside its bytes, measured roughly. */
const FRAME_BYTES = KiB / 4;

/** What all queues of a server share. */
export class Turns {
  readonly now: () => number;
  /** Calls back in the next turn of the event loop. */
  readonly #later: (run: () => void) => void;
  readonly #paused = new Fifo<FrameQueue>();
  #isArranged = false;
  /** Bytes that wait. */
  byteLength = 0;
  /** Counts the turns in which some were paused. */
  turn = 0;

  constructor(now: () => number, later: (run: () => void) => void) {
    this.now = now;
    this.#later = later;
  }

  pause(queue: FrameQueue): void {
    this.#paused.push(queue);
    if (this.#isArranged) return;
    this.#isArranged = true;
    this.#later(this.#next);
  }

  readonly #next = (): void => {
    const end = this.now() + TURN_MS;
    this.turn += 1;
    try {
      // Each once: those that pause again come behind the others.
      for (let left = this.#paused.length; left > 0 && this.now() < end; left--)
        this.#paused.shift()!.resume();
    } finally {
      // Also where one of them throws, or the others would pause for ever.
      this.#isArranged = this.#paused.length > 0;
      if (this.#isArranged) this.#later(this.#next);
    }
  };
}

/** Whose frames they are. */
export interface FrameClient {
  handle(frame: Uint8Array): void;
  /** It sent so much more than is handled that others waited for it: ends it. */
  overrun(): void;
}

export class FrameQueue {
  readonly #turns: Turns;
  readonly #client: FrameClient;
  readonly #waiting = new Fifo<Uint8Array>();
  #byteLength = 0;
  /** Time that its frames took in the current window, or since it last paused, in ms. */
  #used = 0;
  /** When that window began. */
  #since = 0;
  #isPaused = false;
  /** How long frames took for which there was no room, in ms, and in which turn that was. */
  #overrun = 0;
  #overrunTurn = 0;
  /** Called once nothing waits any more. */
  #whenDone: (() => void) | null = null;

  constructor(turns: Turns, client: FrameClient) {
    this.#turns = turns;
    this.#client = client;
  }

  /** Handles a frame, at once or in its turn; its bytes may not change until then. */
  push(frame: Uint8Array): void {
    if (!this.#isPaused) {
      this.#take(frame);
      return;
    }
    const cost = frame.length + FRAME_BYTES;
    if (!this.#hasRoom(cost)) this.#makeRoom(cost);
    if (!this.#hasRoom(cost)) {
      this.#take(frame);
      return;
    }
    this.#waiting.push(frame);
    this.#count(cost);
  }

  /** Handles all that waits now. */
  flush(): void {
    while (this.#waiting.length > 0) this.#takeFirst();
    this.#end();
  }

  /** Nothing more comes: calls `done` once all that waits was handled, some now and the rest in its turns. */
  finish(done: () => void): void {
    this.#whenDone = done;
    if (this.#waiting.length === 0) this.#end();
    else this.#goOn();
  }

  /** Its next turn has come. */
  resume(): void {
    this.#isPaused = false;
    this.#goOn();
  }

  /** Handles what waits, as long as it may before it pauses. */
  #goOn(): void {
    this.#used = 0;
    try {
      while (this.#waiting.length > 0 && this.#used < CLIENT_MS) this.#takeFirst();
    } finally {
      // Also where one threw.
      if (this.#waiting.length > 0) this.#pause();
      else this.#end();
    }
  }

  #end(): void {
    const done = this.#whenDone;
    this.#whenDone = null;
    done?.();
  }

  #makeRoom(cost: number): void {
    if (this.#overrunTurn !== this.#turns.turn) this.#overrun = 0;
    this.#overrunTurn = this.#turns.turn;
    const before = this.#turns.now();
    while (this.#waiting.length > 0 && !this.#hasRoom(cost)) this.#takeFirst();
    this.#overrun += this.#turns.now() - before;
    if (this.#overrun > OVERRUN_MS) this.#client.overrun();
  }

  #take(frame: Uint8Array): void {
    const before = this.#turns.now();
    if (before - this.#since > WINDOW_MS) {
      this.#since = before;
      this.#used = 0;
    }
    this.#client.handle(frame);
    this.#used += this.#turns.now() - before;
    if (this.#used >= CLIENT_MS) this.#pause();
  }

  #pause(): void {
    if (this.#isPaused) return;
    this.#isPaused = true;
    this.#turns.pause(this);
  }

  #takeFirst(): void {
    const frame = this.#waiting.shift()!;
    this.#count(-frame.length - FRAME_BYTES);
    this.#take(frame);
  }

  #hasRoom(cost: number): boolean {
    return this.#byteLength + cost <= MOST_BYTES && this.#turns.byteLength + cost <= MOST_BYTES_OF_ALL;
  }

  #count(bytes: number): void {
    this.#byteLength += bytes;
    this.#turns.byteLength += bytes;
  }
}
