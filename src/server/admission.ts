/**
 * Bounds connections: how many there are, and how many of them have not opened a stream yet. While too many have
 * not, the next handshake waits, before its client can send us anything. To make room, the oldest unopened
 * connection is closed once it has had a second. So a handshake waits at most a second, and one more for each
 * time that as many silent clients as there are places wait ahead of it.
 *
 * Always holds: handshakes wait only while every place is taken.
 */
import type { Timer, Timers } from "../broker/timers.ts";
import { Fifo } from "../wire/fifo.ts";

/** A place among the unopened connections, from the handshake until the stream opens or the connection is gone. */
export interface Place {
  /** By the broker's clock, in ms. */
  readonly takenAt: number;
  /** Closes the connection to make room; null if it is gone already and only its memory is still in use. */
  evict: (() => void) | null;
}

/** How long a connection may stay unopened while others wait, in ms. */
const KEPT_MS = 1_000;

export class Admission {
  readonly #timers: Timers;
  readonly #maxConnections: number;
  readonly #maxUnopened: number;
  /** The oldest first. */
  readonly #places = new Set<Place>();
  readonly #waiting = new Fifo<(place: Place) => void>();
  #looking: Timer | null = null;
  /** Places that were freed although the runtime still keeps their partial frames. */
  #abandoned = 0;
  connections = 0;

  constructor(timers: Timers, maxConnections: number, maxUnopened: number) {
    this.#timers = timers;
    this.#maxConnections = maxConnections;
    this.#maxUnopened = maxUnopened;
  }

  /** Whether one more connection is allowed; those that wait count. */
  get hasRoom(): boolean {
    return this.connections + this.#waiting.length < this.#maxConnections;
  }

  /** Takes a place, at once or as soon as one is free. */
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
   * Frees the place of a connection that ended in the middle of its first frame, which the runtime may keep for
   * `heldMs`: at once, or after that time if it already keeps as many such frames as there are places.
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

  /** Evicts connections whose time is up, one for each that waits; looks again when the next one's time is up. */
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
