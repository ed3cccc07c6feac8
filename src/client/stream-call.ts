/** One streaming call on one WebSocket: requests to frames, frames to responses, its end to a status. */
import {
  BinaryReader,
  type BinaryReadOptions,
  type BinaryWriteOptions,
  BinaryWriter,
} from "@protobuf-ts/runtime";
import type { MethodInfo, RpcInputStream, RpcOptions, RpcStatus } from "@protobuf-ts/runtime-rpc";
import { TinyMQError, toTinyMQError } from "../errors.ts";
import { CLOSE_NORMAL } from "../wire/close.ts";
import { abortError, callSignal } from "./abort.ts";
import { closeError, refusedError } from "./close-error.ts";
import { Responses } from "./responses.ts";
import type { ClientSocket, SocketEvents } from "./sockets/socket.ts";

type BinaryOptions = Partial<BinaryReadOptions & BinaryWriteOptions>;

const FRAME = Symbol("frame");
const SENT: Promise<void> = Promise.resolve();
const utf8Reader = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const utf8Writer = new TextEncoder();
/** As protobuf-ts would do it, but for a new coder of text with every frame; and unknown fields are dropped. */
const FRAME_OPTIONS: Required<BinaryOptions> = {
  readUnknownField: false,
  writeUnknownFields: false,
  readerFactory: (bytes) => new BinaryReader(bytes, utf8Reader),
  writerFactory: () => new BinaryWriter(utf8Writer),
};

/** A request that is encoded already: its frame goes out as it is, not through the generated writer. */
export function encodedRequest<I extends object>(frame: Uint8Array<ArrayBuffer>): I {
  return { [FRAME]: frame } as unknown as I;
}

/** What else a call of ours takes: the generated client hands it through. */
export interface FrameOptions<O extends object> {
  /** Reads frames of the hot path; null leaves a frame to the generated code. */
  readFrame?: (frame: Uint8Array) => O | null;
}

export class StreamCall<I extends object, O extends object> implements RpcInputStream<I> {
  readonly responses: Responses<O>;
  /** Resolves when the handshake is done. */
  readonly opened: Promise<void>;
  /** Resolves at a close with 1000, rejects at any other end. */
  readonly status: Promise<RpcStatus>;
  readonly #method: MethodInfo<I, O>;
  readonly #binaryOptions: BinaryOptions;
  readonly #readFrame: (frame: Uint8Array) => O | null;
  readonly #address: string;
  readonly #socket: ClientSocket;
  readonly #signal: AbortSignal | undefined;
  readonly #onAbort = () => this.#cancel(abortError(this.#signal));
  #isOpen = false;
  #end: TinyMQError | "complete" | undefined;
  #settleOpened!: { resolve: () => void; reject: (error: Error) => void };
  #settleStatus!: { resolve: (status: RpcStatus) => void; reject: (error: Error) => void };

  constructor(
    method: MethodInfo<I, O>,
    options: RpcOptions & FrameOptions<O>,
    address: string,
    open: (events: SocketEvents) => ClientSocket,
  ) {
    this.#method = method;
    this.#binaryOptions = { ...FRAME_OPTIONS, ...options.binaryOptions };
    this.#readFrame = options.readFrame ?? (() => null);
    this.#address = address;
    this.responses = new Responses<O>((error) => this.#cancel(error));
    this.opened = new Promise((resolve, reject) => {
      this.#settleOpened = { resolve, reject };
    });
    this.status = new Promise((resolve, reject) => {
      this.#settleStatus = { resolve, reject };
    });
    // Whoever reads only `responses` learns of the end there.
    handled(this.opened);
    handled(this.status);
    this.#socket = open({
      open: () => this.#opened(),
      frame: (bytes) => this.#receive(bytes),
      close: (code, reason, detail) => this.#closed(code, reason, detail),
    });
    this.#signal = callSignal(options);
    if (this.#signal?.aborted) queueMicrotask(this.#onAbort);
    else this.#signal?.addEventListener("abort", this.#onAbort, { once: true });
  }

  /**
   * Resolves when the frame is handed to the socket. Rejects when the stream has ended; whoever reads
   * `responses` learns of that there, so it never counts as unhandled.
   */
  send(message: I): Promise<void> {
    if (this.#end !== undefined) return handled(Promise.reject(this.#endError()));
    if (!this.#isOpen) return handled(this.opened.then(() => this.send(message)));
    const frame = (message as { [FRAME]?: Uint8Array<ArrayBuffer> })[FRAME];
    this.#socket.send(
      frame ?? (this.#method.I.toBinary(message, this.#binaryOptions) as Uint8Array<ArrayBuffer>),
    );
    return SENT;
  }

  /** Closes the stream well; frames that are under way to us are lost. Resolves when the server agreed. */
  complete(): Promise<void> {
    if (this.#end === undefined) this.#socket.close(CLOSE_NORMAL, "");
    return this.status.then(
      () => {},
      () => {},
    );
  }

  #opened(): void {
    this.#isOpen = true;
    this.#settleOpened.resolve();
  }

  #receive(bytes: Uint8Array): void {
    if (this.#end !== undefined) return;
    let message: O;
    try {
      message = this.#readFrame(bytes) ?? this.#method.O.fromBinary(bytes, this.#binaryOptions);
    } catch (thrown) {
      const cause = thrown instanceof Error ? thrown.message : String(thrown);
      this.#cancel(
        new TinyMQError("DATA_LOSS", `the server sent a malformed frame: ${cause}`, { cause: thrown }),
      );
      return;
    }
    try {
      this.responses.push(message);
    } catch (thrown) {
      this.#cancel(toTinyMQError(thrown));
    }
  }

  #closed(code: number, reason: string, detail: string): void {
    if (!this.#isOpen) this.#finish(refusedError(this.#address, reason || detail));
    else if (code === CLOSE_NORMAL) this.#finish("complete");
    else this.#finish(closeError(code, reason, detail));
  }

  #cancel(error: TinyMQError): void {
    if (this.#end !== undefined) return;
    this.#socket.terminate();
    this.#finish(error);
  }

  #finish(end: TinyMQError | "complete"): void {
    if (this.#end !== undefined) return;
    this.#end = end;
    this.#signal?.removeEventListener("abort", this.#onAbort);
    if (end === "complete") {
      this.#settleOpened.resolve();
      this.#settleStatus.resolve({ code: "OK", detail: "" });
      this.responses.end(undefined);
    } else {
      this.#settleOpened.reject(end);
      this.#settleStatus.reject(end);
      this.responses.end(end);
    }
  }

  #endError(): TinyMQError {
    if (this.#end instanceof TinyMQError) return this.#end;
    return new TinyMQError("UNAVAILABLE", "the stream is closed");
  }
}

/** `promise`, whose rejection does not count as unhandled. */
function handled<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => {});
  return promise;
}
