/** The contract between a session and its WebSocket, which keeps sessions independent of the runtime. */
import type { TinyMQError } from "../errors.ts";
import type { SessionContext } from "./context.ts";

export interface FrameSocket {
  /** Sends one binary frame; returns its bytes, −1 if it was buffered, 0 if it was dropped. */
  send(frame: Uint8Array): number;
  /** Bytes buffered and not yet sent. */
  readonly bufferedBytes: number;
  /** Ends the connection with a close frame. Can be called twice. */
  close(code: number, reason: string): void;
  /** Drops the connection at once. */
  terminate(): void;
  ping(): void;
  /** Reports that the stream has opened, which ends the time limit and frees its place in admission. */
  opened(): void;
  /** Subscribes to the frames published on a topic. */
  subscribe(topic: string): void;
}

/** Creates the session of a connection. Throws UNIMPLEMENTED if no method has this path. */
export type OpenSession = (path: string, socket: FrameSocket, context: SessionContext) => Session;

/** One connection as the server sees it. No method throws; after `closed` none is called. */
export interface Session {
  /** A binary frame within the size limit. Its bytes are valid only until this returns. */
  message(frame: Uint8Array): void;
  /** A text frame, which the protocol does not have. */
  text(): void;
  /** The buffered bytes changed although the session sent nothing: some went out, or the runtime answered pings. */
  drained(): void;
  /** Ends the connection with an error, which goes into the close frame. */
  fail(error: TinyMQError): void;
  /** The connection is gone, for whatever reason. */
  closed(code: number): void;
  /** The server stops: ends the connection with this close code. */
  stop(code: number, reason: string): void;
  /** A sign of life other than a frame. */
  pong(): void;
}
