/** Adapts Bun's WebSockets to sessions: `FrameSocket` on one side, Bun's handlers on the other. */
import type { ServerWebSocket } from "bun";
import type { Timer } from "../broker/timers.ts";
import { TinyMQError, toTinyMQError } from "../errors.ts";
import type { SessionContext } from "../session/context.ts";
import type { FrameSocket, OpenSession, Session } from "../session/frame-socket.ts";
import { CLOSE_ABNORMAL, closeCodeOf, closeReason } from "../wire/close.ts";
import { FIRST_FRAME_BYTES, FIRST_FRAME_MS, KiB } from "../wire/limits.ts";
import type { Admission, Place } from "./admission.ts";
import { type FrameClient, FrameQueue, type Turns } from "./frame-queue.ts";

/** The data that is attached to a WebSocket at its upgrade. */
export interface ConnectionData {
  readonly path: string;
  readonly open: OpenSession;
  readonly place: Place;
  connection: BunSocket | null;
}

/** What the handlers need of the server. */
export interface ConnectionHost {
  readonly context: SessionContext;
  readonly admission: Admission;
  readonly connections: Set<BunSocket>;
  readonly turns: Turns;
}

/** How long Bun keeps a closed connection whose client does not read the rest (source: measured, 4 to 5 s). */
const LINGER_MS = 5_000;

export class BunSocket implements FrameSocket, FrameClient {
  readonly #socket: ServerWebSocket<ConnectionData>;
  readonly #session: Session;
  readonly #host: ConnectionHost;
  /** The time limit for opening the stream; null once it has opened. */
  #late: Timer | null;
  /** Whether a whole frame has arrived. */
  #heard = false;
  #closing = false;
  readonly #frames: FrameQueue;

  /** Throws UNIMPLEMENTED where no method has this path. */
  constructor(socket: ServerWebSocket<ConnectionData>, host: ConnectionHost) {
    this.#socket = socket;
    this.#host = host;
    this.#frames = new FrameQueue(host.turns, this);
    const { path, open, place } = socket.data;
    this.#session = open(path, this, host.context);
    place.evict = () => this.terminate();
    this.#late = host.context.broker.timers.after(FIRST_FRAME_MS, () => {
      const seconds = FIRST_FRAME_MS / 1000;
      this.#session.fail(new TinyMQError("DEADLINE_EXCEEDED", `no first frame within ${seconds} s`));
    });
  }

  get bufferedBytes(): number {
    return this.#closing ? 0 : this.#socket.getBufferedAmount();
  }

  send(frame: Uint8Array): number {
    // To nobody, which is no fault of a slow client.
    if (this.#closing) return frame.length;
    return this.#socket.sendBinary(frame);
  }

  close(code: number, reason: string): void {
    if (this.#closing) return;
    const { outboundBuffers, broker } = this.#host.context;
    const unsent = this.bufferedBytes;
    // Bun keeps the unsent bytes, and the close frame after them, until the client has read them.
    if (!outboundBuffers.linger(unsent)) {
      this.terminate();
      return;
    }
    if (unsent > 0) broker.timers.after(LINGER_MS, () => outboundBuffers.lingered(unsent));
    this.#closing = true;
    this.#socket.close(code, reason);
  }

  terminate(): void {
    this.#closing = true;
    this.#socket.terminate();
  }

  ping(): void {
    this.#socket.ping();
  }

  subscribe(topic: string): void {
    this.#socket.subscribe(topic);
  }

  opened(): void {
    this.#cancelLate();
    this.#host.admission.leave(this.#socket.data.place);
  }

  stop(code: number, reason: string): void {
    // What has arrived is done: nobody will send it again.
    this.#frames.flush();
    this.#session.stop(code, reason);
  }

  /** A frame arrived. */
  message(frame: string | Uint8Array): void {
    this.#heard = true;
    if (typeof frame === "string") this.#session.text();
    else this.#frames.push(frame);
  }

  drained(): void {
    this.#session.drained();
  }

  /** Bun has answered a ping, and buffers that answer if the client does not read. */
  pinged(): void {
    if (this.bufferedBytes > 0) this.#session.drained();
  }

  pong(): void {
    this.#session.pong();
  }

  /** The socket is gone. */
  gone(code: number): void {
    this.#closing = true;
    this.#leave(code);
    // What it sent before is done before what it held is given back.
    this.#frames.finish(() => {
      this.#host.connections.delete(this);
      this.#session.closed(code);
    });
  }

  /** Passes a frame to the session; one above the limit ends the connection before it is decoded. */
  handle(frame: Uint8Array): void {
    const isOpen = this.#late === null;
    const most = isOpen ? this.#host.context.limits.maxFrameBytes : FIRST_FRAME_BYTES;
    if (frame.length > most) this.#session.fail(tooLarge(frame.length, most, isOpen));
    else this.#session.message(frame);
    free(frame);
  }

  overrun(): void {
    const what = "this client sends faster than its frames can be handled, and others wait for it";
    this.#session.fail(new TinyMQError("RESOURCE_EXHAUSTED", what));
  }

  #leave(code: number): void {
    this.#cancelLate();
    const { admission } = this.#host;
    const { place } = this.#socket.data;
    // After a close frame in the middle of a first frame, Bun keeps that partial frame for a while.
    if (this.#heard || code === CLOSE_ABNORMAL) admission.leave(place);
    else admission.abandon(place, LINGER_MS);
  }

  #cancelLate(): void {
    this.#host.context.broker.timers.cancel(this.#late);
    this.#late = null;
  }
}

export interface ConnectionHandlers {
  open(socket: ServerWebSocket<ConnectionData>): void;
  message(socket: ServerWebSocket<ConnectionData>, message: string | Uint8Array): void;
  drain(socket: ServerWebSocket<ConnectionData>): void;
  ping(socket: ServerWebSocket<ConnectionData>): void;
  pong(socket: ServerWebSocket<ConnectionData>): void;
  close(socket: ServerWebSocket<ConnectionData>, code: number): void;
}

/** Bun's handlers; each finds the connection and passes the event on. */
export function connectionHandlers(host: ConnectionHost): ConnectionHandlers {
  return {
    open(socket) {
      host.admission.connections += 1;
      // Views of Bun's default, Buffer, cost twice as much.
      socket.binaryType = "uint8array";
      try {
        const connection = new BunSocket(socket, host);
        socket.data.connection = connection;
        host.connections.add(connection);
      } catch (thrown) {
        const error = toTinyMQError(thrown);
        host.context.misbehaved(error.message);
        host.admission.leave(socket.data.place);
        socket.close(closeCodeOf(error.code), closeReason(error.message));
      }
    },
    message(socket, message) {
      socket.data.connection?.message(message);
    },
    drain(socket) {
      socket.data.connection?.drained();
    },
    ping(socket) {
      socket.data.connection?.pinged();
    },
    pong(socket) {
      socket.data.connection?.pong();
    },
    close(socket, code) {
      host.admission.connections -= 1;
      const connection = socket.data.connection;
      if (connection === null) return;
      socket.data.connection = null;
      connection.gone(code);
    },
  };
}

function tooLarge(byteLength: number, most: number, isOpen: boolean): TinyMQError {
  const what = isOpen ? "a frame" : "a first frame";
  return new TinyMQError("OUT_OF_RANGE", `${what} of ${byteLength} bytes; the limit is ${most}`);
}

/** Smaller frames are left to the garbage collector. */
const SMALLEST_FREED = 4 * KiB;

/**
 * Frees a frame at once, since nothing keeps it. The garbage collector would run only when the dead frames amount to
 * as much as the whole memory cap.
 */
function free(frame: Uint8Array): void {
  // Checked first: to read `buffer` of a small frame makes Bun allocate an ArrayBuffer for it.
  if (frame.byteLength < SMALLEST_FREED) return;
  const { buffer, byteLength } = frame;
  if (byteLength === buffer.byteLength) (buffer as ArrayBuffer).transfer(0);
}
