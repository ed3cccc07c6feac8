/**
 * Bounds connections: how many there are, and how many of them have not opened a stream yet. One that
 * comes while too many have not opened waits for its turn, before it can send anything. The oldest of those
 * that have not opened is closed to make room, once it had a second's time. So the wait is at most a second,
 * and one more for each time that as many silent ones as there are places wait ahead.
 *
 * Always holds: somebody waits only while every place is taken.
 */
import type { Timer, Timers } from "../broker/timers.ts";
import { Fifo } from "../wire/fifo.ts";

/** Among the connections that have not opened; from the handshake on until it has opened, or is gone. */
export interface Place {
  /** By the broker's clock, in ms. */
  readonly takenAt: number;
  /** Closes the connection, for another one; null where it is gone and its memory is not. */
  evict: (() => void) | null;
}

/** A client's first frame must have come by then, in ms, if others wait. */
const KEPT_MS = 1_000;

export class Admission {
  readonly #timers: Timers;
  readonly #maxConnections: number;
  readonly #maxUnopened: number;
  /** The oldest first. */
  readonly #places = new Set<Place>();
  readonly #waiting = new Fifo<(place: Place) => void>();
  #looking: Timer | null = null;
  /** Places that are free again though their frames are not. */
  #abandoned = 0;
  connections = 0;

  constructor(timers: Timers, maxConnections: number, maxUnopened: number) {
    this.#timers = timers;
    this.#maxConnections = maxConnections;
    this.#maxUnopened = maxUnopened;
  }

  /** Whether one more may come in, those that wait counted. */
  get hasRoom(): boolean {
    return this.connections + this.#waiting.length < this.#maxConnections;
  }

  /** A place among the unopened, at once or when one is free. */
  enter(): Place | Promise<Place> {
    if (this.#places.size < this.#maxUnopened) return this.#take();
    return new Promise((resolve) => {
      this.#waiting.push(resolve);
      this.#makeRoom();
    });
  }

  /** Frees a place; later calls do nothing. */
  leave(place: Place): void {
    if (!this.#places.delete(place)) return;
    const next = this.#waiting.shift();
    if (next !== undefined) next(this.#take());
  }

  /**
   * Of a connection that ended in the middle of its first frame, which the runtime may keep for `heldMs`: its
   * place is free at once, or after that time where there are as many such frames as places.
   */
  abandon(place: Place, heldMs: number): void {
    if (this.#abandoned >= this.#maxUnopened) {
      place.evict = null;
      this.#timers.after(heldMs, () => this.leave(place));
      return;
    }
    this.#abandoned += 1;
    this.#timers.after(heldMs, () => {
      this.#abandoned -= 1;
    });
    this.leave(place);
  }

  #take(): Place {
    const place: Place = { takenAt: this.#timers.clock.now(), evict: () => {} };
    this.#places.add(place);
    return place;
  }

  /** Evicts those that had their time, as many as others wait; looks again when the next one had it. */
  #makeRoom(): void {
    const now = this.#timers.clock.now();
    for (const place of this.#places) {
      if (this.#waiting.length === 0) return;
      if (place.evict === null) continue;
      if (place.takenAt + KEPT_MS > now) {
        this.#lookAt(place.takenAt + KEPT_MS);
        return;
      }
      this.leave(place);
      place.evict();
    }
  }

  #lookAt(due: number): void {
    this.#looking ??= this.#timers.at(due, () => {
      this.#looking = null;
      this.#makeRoom();
    });
  }
}
