/** A WebSocket of Bun as a session sees it, and the handlers that Bun calls. */
import type { ServerWebSocket } from "bun";
import type { Timer } from "../broker/timers.ts";
import { toTinyMQError } from "../errors.ts";
import type { SessionContext } from "../session/context.ts";
import type { FrameSocket, Session } from "../session/frame-socket.ts";
import { firstVersionSession, streamSession } from "../session/sessions.ts";
import { closeCodeOf, closeReason } from "../wire/close.ts";
import { FIRST_FRAME_MS, KiB } from "../wire/limits.ts";
import type { Admission, Unopened } from "./admission.ts";

/** What a WebSocket carries from its upgrade on. */
export interface ConnectionData {
  readonly path: string;
  readonly firstVersion: boolean;
  connection: BunSocket | null;
}

/** What the handlers need of the server. */
export interface ConnectionHost {
  readonly context: SessionContext;
  readonly admission: Admission;
  readonly connections: Set<BunSocket>;
}

/** How long a closed connection may take to take its close frame. */
const LINGER_MS = 5_000;

export class BunSocket implements FrameSocket {
  readonly #socket: ServerWebSocket<ConnectionData>;
  readonly session: Session;
  readonly #unopened: Unopened;
  readonly #host: ConnectionHost;
  #closing = false;
  #lingering: Timer | null = null;

  /** Throws UNIMPLEMENTED where no method has this path. */
  constructor(socket: ServerWebSocket<ConnectionData>, host: ConnectionHost) {
    this.#socket = socket;
    this.#host = host;
    this.#unopened = host.admission.watch(FIRST_FRAME_MS, () => {
      this.close(closeCodeOf("DEADLINE_EXCEEDED"), `no first frame within ${FIRST_FRAME_MS / 1000} s`);
    });
    const { path, firstVersion } = socket.data;
    const open = firstVersion ? firstVersionSession : streamSession;
    try {
      this.session = open(path, this, host.context);
    } catch (error) {
      this.#unopened.leave();
      throw error;
    }
  }

  get bufferedBytes(): number {
    return this.#closing ? 0 : this.#socket.getBufferedAmount();
  }

  send(frame: Uint8Array): number {
    return this.#socket.sendBinary(frame);
  }

  close(code: number, reason: string): void {
    if (this.#closing) return;
    this.#closing = true;
    this.#socket.close(code, reason);
    // A client that does not read would keep its socket for ever.
    this.#lingering = this.#host.context.broker.timers.after(LINGER_MS, () => this.#socket.terminate());
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
    this.#unopened.leave();
  }

  /** The socket is gone. */
  gone(): void {
    this.#unopened.leave();
    this.#host.context.broker.timers.cancel(this.#lingering);
  }
}

export interface ConnectionHandlers {
  open(socket: ServerWebSocket<ConnectionData>): void;
  message(socket: ServerWebSocket<ConnectionData>, message: string | Uint8Array): void;
  drain(socket: ServerWebSocket<ConnectionData>): void;
  pong(socket: ServerWebSocket<ConnectionData>): void;
  close(socket: ServerWebSocket<ConnectionData>, code: number, reason: string): void;
}

/** Bun's handlers: each finds the connection and passes the event on. */
export function connectionHandlers(host: ConnectionHost): ConnectionHandlers {
  return {
    open(socket) {
      host.admission.connections += 1;
      // Views of a Buffer cost twice as much.
      socket.binaryType = "uint8array";
      try {
        const connection = new BunSocket(socket, host);
        socket.data.connection = connection;
        host.connections.add(connection);
      } catch (thrown) {
        const error = toTinyMQError(thrown);
        host.context.misbehaved(error.message);
        socket.close(closeCodeOf(error.code), closeReason(error.message));
      }
    },
    message(socket, message) {
      const connection = socket.data.connection;
      if (connection === null) return;
      if (typeof message === "string") return connection.session.text();
      connection.session.message(message);
      free(message);
    },
    drain(socket) {
      socket.data.connection?.session.drained();
    },
    pong(socket) {
      socket.data.connection?.session.pong();
    },
    close(socket, code, reason) {
      host.admission.connections -= 1;
      const connection = socket.data.connection;
      if (connection === null) return;
      socket.data.connection = null;
      host.connections.delete(connection);
      connection.gone();
      connection.session.closed(code, reason);
    },
  };
}

/** Smaller frames are left to the garbage collector. */
const SMALLEST_FREED = 4 * KiB;

/**
 * Nobody keeps a frame: its memory is given back now. The collector would come when as much as the whole
 * cap is waiting for it.
 */
function free(frame: Uint8Array): void {
  // Not asked of small frames: it is the question that makes Bun give them an ArrayBuffer.
  if (frame.byteLength < SMALLEST_FREED) return;
  const { buffer, byteLength } = frame;
  if (byteLength === buffer.byteLength) (buffer as ArrayBuffer).transfer(0);
}
