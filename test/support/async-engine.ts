/**
 * An engine that answers by promises and takes its time, for tests: memory logs behind a line of
 * operations for each log, carried out one after the other after some microtasks or macrotasks.
 *
 * Offsets are spread, as those of an engine that numbers `stream sequence x 8,192 + index`.
 */
import type { Chunk, Engine, Lock, Log, OffsetRun } from "../../src/log/engine.ts";
import { MemoryEngine } from "../../src/log/memory-engine.ts";
import type { MaybePromise } from "../../src/wire/maybe-promise.ts";
import type { Random } from "./random.ts";

const OFFSETS_A_BATCH = 8_192;

export class AsyncEngine implements Engine {
  readonly name = "asynchronous";
  readonly #inner = new MemoryEngine();
  readonly #random: Random;
  readonly #logs = new Set<string>();
  readonly #held = new Set<string>();
  /** Operations that have not been carried out. */
  pending = 0;
  /** Set to stop carrying out operations until `proceed`. */
  #paused: PromiseWithResolvers<void> | null = null;
  /** Operations fail while this is set. */
  failing = false;

  constructor(random: Random) {
    this.#random = random;
  }

  /** Nothing is carried out until `proceed`. */
  pause(): void {
    this.#paused ??= Promise.withResolvers();
  }

  proceed(): void {
    this.#paused?.resolve();
    this.#paused = null;
  }

  async openLog(topic: string): Promise<Log> {
    if (this.#logs.has(topic)) throw new Error(`the log of ${topic} was opened twice`);
    this.#logs.add(topic);
    await this.settleDown();
    return new AsyncLog(this, this.#inner.openLog(topic), () => this.#logs.delete(topic));
  }

  openLock(topic: string): Lock {
    return {
      acquire: async () => {
        await this.settleDown();
        this.#held.add(topic);
        return true;
      },
      release: async () => {
        this.#held.delete(topic);
      },
    };
  }

  /** Whether the lock of a topic is ours. */
  holds(topic: string): boolean {
    return this.#held.has(topic);
  }

  close(): void {
    this.#inner.close();
  }

  /** Resolves after a while. */
  async settleDown(): Promise<void> {
    this.pending += 1;
    try {
      if (this.#paused !== null) await this.#paused.promise;
      const turns = this.#random.below(4);
      for (let turn = 0; turn < turns; turn++) await null;
      if (this.#random.chance(0.1)) await new Promise((resolve) => setImmediate(resolve));
      if (this.failing) throw new Error("the engine fails");
    } finally {
      this.pending -= 1;
    }
  }

  /** Resolves when nothing is pending, and what followed from it is done. */
  async idle(): Promise<void> {
    // Twice: what an answer leads to may begin just after the first look.
    for (let quiet = 0; quiet < 2; quiet++) {
      await new Promise((resolve) => setImmediate(resolve));
      if (this.pending > 0) quiet = -1;
    }
  }
}

class AsyncLog implements Log {
  readonly #engine: AsyncEngine;
  readonly #inner: Log;
  readonly #gone: () => void;
  #line: Promise<unknown> = Promise.resolve();
  #batches = 0;

  constructor(engine: AsyncEngine, inner: Log, gone: () => void) {
    this.#engine = engine;
    this.#inner = inner;
    this.#gone = gone;
  }

  get count(): number {
    return this.#inner.count;
  }

  get memory(): number {
    return this.#inner.memory;
  }

  get nextOffset(): number {
    return this.#inner.nextOffset;
  }

  growth(byteLength: number): number {
    return this.#inner.growth(byteLength);
  }

  append(batch: Uint8Array, count: number, firstOffset?: number): Promise<readonly OffsetRun[]> {
    const copy = batch.slice();
    const wanted = firstOffset ?? this.#batches * OFFSETS_A_BATCH;
    this.#batches = Math.ceil((wanted + count) / OFFSETS_A_BATCH);
    return this.#later(() => this.#inner.append(copy, count, wanted));
  }

  read(from: number, maxMessages: number, maxBytes: number, end?: number): Promise<Chunk | null> {
    return this.#later(async () => {
      const chunk = await this.#inner.read(from, maxMessages, maxBytes, end);
      return chunk === null ? null : { ...chunk, parts: chunk.parts.map((part) => part.slice()) };
    });
  }

  release(firstOffset: number, count: number): Promise<number> {
    return this.#later(() => this.#inner.release(firstOffset, count));
  }

  compact(): void {
    this.#inner.compact();
  }

  drop(): Promise<void> {
    this.#gone();
    return this.#later(() => this.#inner.drop());
  }

  /** Behind all that was asked before. */
  #later<T>(work: () => MaybePromise<T>): Promise<T> {
    const done = this.#line.then(() => this.#engine.settleDown()).then(work);
    this.#engine.pending += 1;
    const answered = () => {
      this.#engine.pending -= 1;
    };
    this.#line = done.then(answered, answered);
    return done;
  }
}
