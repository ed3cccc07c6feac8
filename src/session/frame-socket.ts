/** What a session needs of its WebSocket, declared here so that it knows no runtime. */
import type { TinyMQError } from "../errors.ts";
import type { SessionContext } from "./context.ts";

export interface FrameSocket {
  /** Sends one binary frame; returns its bytes, −1 if it waits in a buffer, 0 if it was dropped. */
  send(frame: Uint8Array): number;
  /** Bytes that wait to be sent. */
  readonly bufferedBytes: number;
  /** Ends the connection with a close frame. Does nothing the second time. */
  close(code: number, reason: string): void;
  /** Ends the connection at once. */
  terminate(): void;
  ping(): void;
  /** The stream has opened: it no longer counts among those that have not. */
  opened(): void;
  /** Joins the live fan-out of a topic. */
  subscribe(topic: string): void;
}

/** Makes the session of a connection. Throws UNIMPLEMENTED where no method has this path. */
export type OpenSession = (path: string, socket: FrameSocket, context: SessionContext) => Session;

/** One connection as the server sees it. No method throws; after `closed` none is called. */
export interface Session {
  /** A binary frame of a size that is allowed; the bytes may be kept until control returns. */
  message(frame: Uint8Array): void;
  /** A text frame, which no client of ours sends. */
  text(): void;
  /** What waits to be sent has changed without a frame of the session: it was sent, or the runtime answered pings. */
  drained(): void;
  /** Ends the connection with an error that its client is told. */
  fail(error: TinyMQError): void;
  /** The connection is gone, for whatever reason. */
  closed(code: number): void;
  /** The server stops. */
  stop(code: number, reason: string): void;
  /** Any sign of life that is not a frame. */
  pong(): void;
}
