/** One stream of a hostile client: frames go out as they are given, and wait until somebody reads them. */
import { StreamEnded } from "./arena.ts";

/** Longest wait for a frame, in ms: longer than any storm holds the server up. */
const PATIENCE_MS = 60_000;
const TRIES = 20;

export class Stream {
  readonly #socket: WebSocket;
  #frames: Uint8Array[] = [];
  #read = 0;
  #ended: StreamEnded | null = null;
  #wake: (() => void) | null = null;
  /** Takes each frame, in place of `next`. */
  onFrame: ((frame: Uint8Array) => void) | null = null;

  private constructor(socket: WebSocket) {
    this.#socket = socket;
    socket.binaryType = "arraybuffer";
    socket.onopen = () => this.#wake?.();
    socket.onmessage = ({ data }) => this.#take(new Uint8Array(data as ArrayBuffer));
    socket.onclose = ({ code, reason }) => {
      this.#ended = new StreamEnded(code, reason);
      this.#wake?.();
    };
  }

  /** Connects, sends the open frame, and reads the answer. Throws `StreamEnded`. */
  static async open(port: number, method: string, openFrame: Uint8Array): Promise<Stream> {
    for (let tries = 1; ; tries++) {
      try {
        return await Stream.#open(port, method, openFrame);
      } catch (error) {
        // Cut, for others wait for its place: the server says that it comes again.
        if (tries === TRIES || !(error instanceof StreamEnded) || error.code !== 1006) throw error;
        await Bun.sleep(20 * tries);
      }
    }
  }

  static async #open(port: number, method: string, openFrame: Uint8Array): Promise<Stream> {
    const init = { protocols: ["tinymq.v1"] };
    const socket = new WebSocket(`ws://127.0.0.1:${port}/tinymq.v1.TinyMQ/${method}`, init as never);
    const stream = new Stream(socket);
    await stream.#until(() => socket.readyState === WebSocket.OPEN);
    stream.send(openFrame);
    await stream.next();
    return stream;
  }

  get hasEnded(): boolean {
    return this.#ended !== null;
  }

  /** Throws `StreamEnded`. */
  send(frame: Uint8Array): void {
    if (this.#ended !== null) throw this.#ended;
    this.#socket.send(frame as Uint8Array<ArrayBuffer>);
  }

  /** Resolves once little of what was sent waits on this side. */
  async flushed(): Promise<void> {
    while (this.#socket.bufferedAmount > 4 * 1024 * 1024 && this.#ended === null) await Bun.sleep(1);
  }

  /** The next frame. Throws `StreamEnded`. */
  async next(): Promise<Uint8Array> {
    await this.#until(() => this.#read < this.#frames.length);
    const frame = this.#frames[this.#read++]!;
    if (this.#read === this.#frames.length) {
      this.#frames = [];
      this.#read = 0;
    }
    return frame;
  }

  /** Resolves once `isSo`, which only frames can change. Throws `StreamEnded`. */
  async until(isSo: () => boolean): Promise<void> {
    await this.#until(isSo);
  }

  /** Ends the connection without a word. */
  cut(): void {
    (this.#socket as unknown as { terminate(): void }).terminate();
  }

  /** Closes without `finish`, and waits for nothing. */
  close(): void {
    this.#socket.close(1000);
  }

  #take(frame: Uint8Array): void {
    if (this.onFrame !== null) this.onFrame(frame);
    else this.#frames.push(frame);
    this.#wake?.();
  }

  async #until(isSo: () => boolean): Promise<void> {
    const deadline = performance.now() + PATIENCE_MS;
    while (!isSo()) {
      if (this.#ended !== null) throw this.#ended;
      if (performance.now() > deadline) throw new Error(`no frame within ${PATIENCE_MS / 1000} s`);
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, 1_000);
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
      this.#wake = null;
    }
  }
}
