/** Messages on their way to standard output: many a write, and no write while one is under way. */
import { write } from "node:fs";

/** Once so many bytes wait, they are written. */
const BLOCK_BYTES = 64 * 1024;
const STANDARD_OUTPUT = 1;
/** How long a non-blocking output that is full is left alone, in ms. */
const FULL_MS = 5;

/** Collects what belongs to messages, and tells which messages were written. */
export class MessageOutput<Message> {
  /** Nobody reads standard output any more; what comes later is lost. */
  closed = false;
  /** Messages that were written. */
  written = 0;
  readonly #most: number;
  readonly #written: (message: Message) => void;
  #waiting: { message: Message; bytes: Uint8Array }[] = [];
  #bytes = 0;

  /**
   * Once `most` messages wait, they are written. `written` is called for each, in order, when its last byte is
   * written.
   */
  constructor(most: number, written: (message: Message) => void) {
    this.#most = most;
    this.#written = written;
  }

  /** Messages that are added and not written yet. */
  get waiting(): number {
    return this.#waiting.length;
  }

  /** It is time to write. */
  get isFull(): boolean {
    return this.#bytes >= BLOCK_BYTES || this.#waiting.length >= this.#most;
  }

  add(message: Message, bytes: Uint8Array): void {
    this.#waiting.push({ message, bytes });
    this.#bytes += bytes.length;
  }

  /** Writes what was added. Throws what the system says, unless it is that nobody reads any more. */
  async flush(): Promise<void> {
    const block = this.#waiting;
    if (block.length === 0 || this.closed) return;
    this.#waiting = [];
    this.#bytes = 0;
    let done = await this.#write(Buffer.concat(block.map(({ bytes }) => bytes)));
    for (const { message, bytes } of block) {
      done -= bytes.length;
      if (done < 0) break;
      this.written += 1;
      this.#written(message);
    }
  }

  /** How many of the bytes were written. */
  async #write(bytes: Uint8Array): Promise<number> {
    let start = 0;
    while (start < bytes.length) {
      try {
        start += await writeSome(bytes.subarray(start));
      } catch (error) {
        const { code } = error as NodeJS.ErrnoException;
        if (code === "EAGAIN") {
          await Bun.sleep(FULL_MS);
        } else if (code === "EPIPE") {
          this.closed = true;
          break;
        } else {
          throw error;
        }
      }
    }
    return start;
  }
}

/** Elsewhere than on this thread: a reader that takes its time must not hold up the heartbeat. */
function writeSome(bytes: Uint8Array): Promise<number> {
  return new Promise((resolve, reject) => {
    write(STANDARD_OUTPUT, bytes, 0, bytes.length, null, (error, count) => {
      if (error) reject(error);
      else resolve(count);
    });
  });
}
