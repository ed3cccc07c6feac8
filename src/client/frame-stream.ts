/**
 * One WebSocket as a stream of frames, which it does not decode. `Stream` (for producers, consumers and subscribers)
 * and `duplexCall` (for generated clients) are built on it.
 *
 * Always holds: `ended` is called exactly once, and nothing is called after it.
 */
import { type TinyMQError, toTinyMQError } from "../errors.ts";
import { CLOSE_NORMAL, closeCodeOf, closeReason } from "../wire/close.ts";
import { SUBPROTOCOL } from "../wire/limits.ts";
import { closeError, refusedError } from "./close-error.ts";
import { runtimeSockets } from "./sockets/runtime.ts";
import type { ClientSocket, OpenSocket, TlsOptions } from "./sockets/socket.ts";

/** Where the server is, and how to reach it. */
export interface ServerAddress {
  host: string;
  port: number;
  /** wss instead of ws, https instead of http; an object sets the certificates (not in browsers). */
  tls?: boolean | TlsOptions;
  /** Replaces the runtime's own sockets. */
  openSocket?: OpenSocket;
}

/** `host:port`, an IPv6 address in brackets. */
export function hostAndPort({ host, port }: ServerAddress): string {
  const bare = host.includes(":") && !host.startsWith("[");
  return `${bare ? `[${host}]` : host}:${port}`;
}

/** The TLS options of an address, if it has any. */
export function tlsOptions({ tls }: ServerAddress): TlsOptions | undefined {
  return typeof tls === "object" ? tls : undefined;
}

/** Events of a frame stream. */
export interface FrameEvents {
  /** The handshake is done: frames can be sent. */
  opened(): void;
  /** A frame arrived. May throw: the stream is then aborted with that error. */
  frame(bytes: Uint8Array): void;
  /** The stream ended; undefined: with close code 1000. A refused handshake is `ConnectionRefusedError`. */
  ended(error: TinyMQError | undefined): void;
}

export class FrameStream {
  readonly #events: FrameEvents;
  readonly #socket: ClientSocket;
  #state: "connecting" | "open" | "ended" = "connecting";

  /** Opens a WebSocket to `path` of the server. Throws if the address is malformed. */
  constructor(server: ServerAddress, path: string, events: FrameEvents) {
    this.#events = events;
    const address = hostAndPort(server);
    const openSocket = server.openSocket ?? runtimeSockets();
    const url = `${server.tls ? "wss" : "ws"}://${address}${path}`;
    this.#socket = openSocket(url, SUBPROTOCOL, tlsOptions(server), {
      open: () => {
        this.#state = "open";
        events.opened();
      },
      frame: (bytes) => this.#receive(bytes),
      close: (code, reason, detail) => {
        if (this.#state === "connecting") this.#end(refusedError(server, address, reason || detail));
        else this.#end(code === CLOSE_NORMAL ? undefined : closeError(code, reason, detail));
      },
    });
  }

  /** Whether frames can be sent. */
  get isOpen(): boolean {
    return this.#state === "open";
  }

  /** Sends one frame, which MUST NOT change until the server has answered; does nothing unless `isOpen`. */
  send(frame: Uint8Array<ArrayBuffer>): void {
    if (this.#state === "open") this.#socket.send(frame);
  }

  /** Begins the closing handshake, with 1000 or the close code of `error`; `ended` follows the server's answer. */
  close(error?: TinyMQError): void {
    if (this.#state === "ended") return;
    if (error === undefined) this.#socket.close(CLOSE_NORMAL, "");
    else this.#socket.close(closeCodeOf(error.code), closeReason(error.message));
  }

  /** Drops the connection; `ended` is called with `error` before this returns. */
  abort(error: TinyMQError): void {
    if (this.#state === "ended") return;
    this.#socket.terminate();
    this.#end(error);
  }

  #receive(bytes: Uint8Array): void {
    if (this.#state === "ended") return;
    try {
      this.#events.frame(bytes);
    } catch (thrown) {
      this.abort(toTinyMQError(thrown));
    }
  }

  #end(error: TinyMQError | undefined): void {
    if (this.#state === "ended") return;
    this.#state = "ended";
    this.#events.ended(error);
  }
}
