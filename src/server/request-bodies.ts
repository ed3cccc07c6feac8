/**
 * Reads the bodies of unary calls. Most have arrived when they are asked for; those that have not are bounded in
 * number, bytes and time, and beyond that the oldest is given up.
 *
 * Always holds: at most `MAX_READING` bodies are incomplete, and together they hold at most `MAX_BYTES`.
 */
import type { Timer, Timers } from "../broker/timers.ts";
import { TinyMQError } from "../errors.ts";
import { MiB } from "../wire/limits.ts";

/** Maximum bytes of one body. */
const MAX_BODY_BYTES = MiB;
/** Maximum bytes of all incomplete bodies. */
const MAX_BYTES = 16 * MiB;
const MAX_READING = 64;
/** From the headers to the last byte. */
const DEADLINE_MS = 5_000;

/** A body that is being read. */
interface Reading {
  readonly reader: ReadableStreamDefaultReader<Uint8Array>;
  readonly parts: Uint8Array[];
  bytes: number;
  /** Why it was given up. */
  error: TinyMQError | null;
}

export class RequestBodies {
  readonly #timers: Timers;
  /** The oldest first. */
  readonly #readings = new Set<Reading>();
  #bytes = 0;

  constructor(timers: Timers) {
    this.#timers = timers;
  }

  /**
   * The body of a request. Throws OUT_OF_RANGE above 1 MiB, DEADLINE_EXCEEDED if it does not arrive in time,
   * RESOURCE_EXHAUSTED if it was given up for others, and CANCELLED if the connection ended.
   */
  async read(request: Request): Promise<Uint8Array> {
    if (Number(request.headers.get("content-length") ?? 0) > MAX_BODY_BYTES) throw tooLarge();
    if (request.body === null) return new Uint8Array(0);
    const reading: Reading = { reader: request.body.getReader(), parts: [], bytes: 0, error: null };
    this.#readings.add(reading);
    if (this.#readings.size > MAX_READING) this.#giveUpOldest();
    const late = this.#timers.after(DEADLINE_MS, () => {
      this.#giveUp(reading, "DEADLINE_EXCEEDED", `the body did not arrive within ${DEADLINE_MS / 1000} s`);
    });
    try {
      return await this.#readAll(reading);
    } finally {
      this.#end(reading, late);
    }
  }

  async #readAll(reading: Reading): Promise<Uint8Array> {
    for (;;) {
      const { done, value } = await nextPart(reading);
      if (reading.error !== null) throw reading.error;
      if (done) return Buffer.concat(reading.parts);
      reading.parts.push(value);
      reading.bytes += value.length;
      this.#bytes += value.length;
      if (reading.bytes > MAX_BODY_BYTES) {
        await reading.reader.cancel();
        throw tooLarge();
      }
      while (this.#bytes > MAX_BYTES) this.#giveUpOldest();
    }
  }

  #giveUpOldest(): void {
    const [oldest] = this.#readings;
    if (oldest === undefined) return;
    this.#giveUp(
      oldest,
      "RESOURCE_EXHAUSTED",
      "too many unfinished request bodies: send the whole body at once",
    );
  }

  /** Ends a reading: its loop finds the error. */
  #giveUp(reading: Reading, code: "RESOURCE_EXHAUSTED" | "DEADLINE_EXCEEDED", why: string): void {
    if (!this.#readings.delete(reading)) return;
    reading.error = new TinyMQError(code, why);
    this.#release(reading);
    void reading.reader.cancel();
  }

  #end(reading: Reading, late: Timer): void {
    this.#timers.cancel(late);
    this.#readings.delete(reading);
    this.#release(reading);
  }

  #release(reading: Reading): void {
    this.#bytes -= reading.bytes;
    reading.bytes = 0;
    reading.parts.length = 0;
  }
}

async function nextPart({ reader }: Reading) {
  try {
    return await reader.read();
  } catch (cause) {
    throw new TinyMQError("CANCELLED", "the connection ended before the body was complete", { cause });
  }
}

function tooLarge(): TinyMQError {
  return new TinyMQError("OUT_OF_RANGE", "the request's body is above 1 MiB");
}
