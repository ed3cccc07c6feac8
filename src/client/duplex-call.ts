/** A streaming call of a generated client on a frame stream: messages to frames, frames to messages, its end to a status. */
import {
  DuplexStreamingCall,
  type MethodInfo,
  type RpcInputStream,
  type RpcMetadata,
  type RpcOptions,
  type RpcStatus,
} from "@protobuf-ts/runtime-rpc";
import { TinyMQError } from "../errors.ts";
import { abortError } from "./close-error.ts";
import { decodeFrame, encodeFrame, FRAME_OPTIONS } from "./frame-codec.ts";
import { FrameStream, type ServerAddress } from "./frame-stream.ts";
import { Responses } from "./responses.ts";

/**
 * Calls `method` of the server. `requests.send()` resolves when the frame is handed to the socket,
 * `requests.complete()` closes the stream (there is no half-closing), and `headers` resolve when the handshake
 * is done. `signal` aborts the call.
 */
export function duplexCall<I extends object, O extends object>(
  server: ServerAddress,
  method: MethodInfo<I, O>,
  options: RpcOptions,
  signal: AbortSignal | undefined,
): DuplexStreamingCall<I, O> {
  const call = new DuplexCall<I, O>(server, method, options, signal);
  const none: RpcMetadata = {};
  const headers = handled(call.opened.then(() => none));
  const trailers = handled(call.status.then(() => none));
  const { responses, status } = call;
  return new DuplexStreamingCall(method, options.meta ?? none, call, headers, responses, status, trailers);
}

class DuplexCall<I extends object, O extends object> implements RpcInputStream<I> {
  readonly responses: Responses<O>;
  /** Resolves when the handshake is done. */
  readonly opened: Promise<void>;
  /** Resolves at a close with 1000, rejects at any other end. */
  readonly status: Promise<RpcStatus>;
  readonly #method: MethodInfo<I, O>;
  readonly #binaryOptions: typeof FRAME_OPTIONS;
  readonly #frames: FrameStream;
  /** What `send` rejects with once the stream has ended. */
  #end: TinyMQError | undefined;
  #settleOpened!: { resolve: () => void; reject: (error: TinyMQError) => void };
  #settleStatus!: { resolve: (status: RpcStatus) => void; reject: (error: TinyMQError) => void };

  constructor(
    server: ServerAddress,
    method: MethodInfo<I, O>,
    options: RpcOptions,
    signal: AbortSignal | undefined,
  ) {
    this.#method = method;
    this.#binaryOptions = { ...FRAME_OPTIONS, ...options.binaryOptions };
    this.responses = new Responses<O>((error) => this.#frames.abort(error));
    this.opened = handled(
      new Promise((resolve, reject) => {
        this.#settleOpened = { resolve, reject };
      }),
    );
    this.status = handled(
      new Promise((resolve, reject) => {
        this.#settleStatus = { resolve, reject };
      }),
    );
    const onAbort = () => this.#frames.abort(abortError(signal));
    this.#frames = new FrameStream(server, `/${method.service.typeName}/${method.name}`, {
      opened: () => this.#settleOpened.resolve(),
      frame: (bytes) => this.responses.push(decodeFrame(method.O, bytes, this.#binaryOptions)),
      ended: (error) => {
        signal?.removeEventListener("abort", onAbort);
        this.#ended(error);
      },
    });
    if (signal?.aborted) queueMicrotask(onAbort);
    else signal?.addEventListener("abort", onAbort, { once: true });
  }

  send(message: I): Promise<void> {
    if (this.#end !== undefined) return handled(Promise.reject(this.#end));
    if (!this.#frames.isOpen) return handled(this.opened.then(() => this.send(message)));
    this.#frames.send(encodeFrame(this.#method.I, message, this.#binaryOptions));
    return Promise.resolve();
  }

  /** Closes the stream well; frames that are under way to us are lost. Resolves when the server agreed. */
  complete(): Promise<void> {
    this.#frames.close();
    return this.status.then(
      () => {},
      () => {},
    );
  }

  #ended(error: TinyMQError | undefined): void {
    this.#end = error ?? new TinyMQError("UNAVAILABLE", "the stream is closed");
    if (error === undefined) {
      this.#settleStatus.resolve({ code: "OK", detail: "" });
    } else {
      this.#settleOpened.reject(error);
      this.#settleStatus.reject(error);
    }
    this.responses.end(error);
  }
}

/** `promise`, whose rejection does not count as unhandled: whoever reads only `responses` learns of the end there. */
function handled<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => {});
  return promise;
}
