/** The contract between the client and a runtime's WebSocket. */

/** TLS settings. Browsers ignore them and use their own. */
export interface TlsOptions {
  /** Certificates of the authorities to trust, PEM. Default: those of the runtime. */
  ca?: string | readonly string[];
  /** The client's own certificate, PEM. */
  cert?: string;
  /** The key of `cert`, PEM. */
  key?: string;
  /** false: do not check the server's certificate. Only for tests. */
  rejectUnauthorized?: boolean;
}

/** Called from the event loop, never from within a call of the socket's methods. */
export interface SocketEvents {
  /** The handshake is done. At most once. */
  open(): void;
  /** A binary frame. The bytes belong to the receiver. */
  frame(bytes: Uint8Array): void;
  /** The end, exactly once unless `terminate()` was called. `detail` is the runtime's error message, or "". */
  close(code: number, reason: string, detail: string): void;
}

/** One WebSocket. */
export interface ClientSocket {
  /** Hands a binary frame to the socket. `bytes` MUST NOT change until the server has answered. */
  send(bytes: Uint8Array<ArrayBuffer>): void;
  /** Begins the closing handshake; `SocketEvents.close` follows when the server answers. */
  close(code: number, reason: string): void;
  /** Drops the connection. No event follows. */
  terminate(): void;
}

export type OpenSocket = (
  url: string,
  protocol: string,
  tls: TlsOptions | undefined,
  events: SocketEvents,
) => ClientSocket;
