/** Writes messages to standard output: many with one write, and one write after the other. */
import { write } from "node:fs";
import { FULL_MS, isReaderGone, STANDARD_OUTPUT } from "./talk.ts";

/** Once so many bytes wait, they are written. */
const BLOCK_BYTES = 64 * 1024;

/** Collects the bytes of messages, and reports which messages are written. */
export class MessageOutput<Message> {
  /** The reader of standard output has gone, or `end()` was called: later messages are not written. */
  closed = false;
  /** Messages that are written. */
  written = 0;
  readonly #most: number;
  readonly #written: (message: Message) => void;
  #waiting: { message: Message; bytes: Uint8Array }[] = [];
  #bytes = 0;
  /** The last write that was begun. */
  #writing: Promise<unknown> = Promise.resolve();

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

  /** Whether enough waits for a write. */
  get isFull(): boolean {
    return this.#bytes >= BLOCK_BYTES || this.#waiting.length >= this.#most;
  }

  add(message: Message, bytes: Uint8Array): void {
    this.#waiting.push({ message, bytes });
    this.#bytes += bytes.length;
  }

  /** Writes what was added. Throws the system's errors, except that the reader has gone: see `closed`. */
  async flush(): Promise<void> {
    const block = this.#waiting;
    if (block.length === 0 || this.closed) return;
    this.#waiting = [];
    this.#bytes = 0;
    const writing = this.#write(block);
    this.#writing = writing;
    await writing;
  }

  /** Drops what waits; resolves when the write that was begun, if there is one, is done and reported. */
  async end(): Promise<void> {
    this.closed = true;
    await this.#writing;
  }

  async #write(block: readonly { message: Message; bytes: Uint8Array }[]): Promise<void> {
    let done = await this.#writeBytes(Buffer.concat(block.map(({ bytes }) => bytes)));
    for (const { message, bytes } of block) {
      done -= bytes.length;
      if (done < 0) break;
      this.written += 1;
      this.#written(message);
    }
  }

  /** How many of the bytes were written. */
  async #writeBytes(bytes: Uint8Array): Promise<number> {
    let start = 0;
    while (start < bytes.length) {
      try {
        start += await writeSome(bytes.subarray(start));
      } catch (error) {
        const { code } = error as NodeJS.ErrnoException;
        if (code === "EAGAIN") {
          await Bun.sleep(FULL_MS);
        } else if (isReaderGone(code)) {
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

/** Asynchronous: a slow reader must not delay heartbeats. */
function writeSome(bytes: Uint8Array): Promise<number> {
  return new Promise((resolve, reject) => {
    write(STANDARD_OUTPUT, bytes, 0, bytes.length, null, (error, count) => {
      if (error) reject(error);
      else resolve(count);
    });
  });
}
