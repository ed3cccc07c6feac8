/** Streaming calls of generated clients, on frame streams. */
import {
  DuplexStreamingCall,
  type MethodInfo,
  type RpcMetadata,
  type RpcOptions,
  type RpcStatus,
} from "@protobuf-ts/runtime-rpc";
import { TinyMQError } from "../errors.ts";
import { onAbort } from "./abort-signals.ts";
import { abortError } from "./close-error.ts";
import { decodeFrame, encodeFrame, FRAME_OPTIONS } from "./frame-codec.ts";
import { FrameStream, type ServerAddress } from "./frame-stream.ts";
import { Responses } from "./responses.ts";

/**
 * Calls `method` of the server. `requests.send()` resolves when the frame was handed to the socket,
 * `requests.complete()` closes the stream (there is no half-closing) and resolves when it has ended.
 * `headers` resolve when the handshake is done; `status` and `trailers` resolve at a close with 1000 and reject
 * at any other end. `signal` aborts the call.
 */
export function duplexCall<I extends object, O extends object>(
  server: ServerAddress,
  method: MethodInfo<I, O>,
  options: RpcOptions,
  signal: AbortSignal | undefined,
): DuplexStreamingCall<I, O> {
  const none: RpcMetadata = {};
  const binaryOptions = { ...FRAME_OPTIONS, ...options.binaryOptions };
  const headers = deferred<RpcMetadata>();
  const status = deferred<RpcStatus>();
  const responses = new Responses<O>((error) => frames.abort(error));
  const aborted = () => frames.abort(abortError(signal));
  let forgetSignal = () => {};
  const frames = new FrameStream(server, `/${method.service.typeName}/${method.name}`, {
    opened: () => headers.resolve(none),
    frame: (bytes) => responses.push(decodeFrame(method.O, bytes, binaryOptions)),
    ended: (error) => {
      forgetSignal();
      if (error === undefined) status.resolve({ code: "OK", detail: "" });
      else for (const { reject } of [headers, status]) reject(error);
      responses.end(error);
    },
  });
  if (signal?.aborted) queueMicrotask(aborted);
  else if (signal !== undefined) forgetSignal = onAbort(signal, aborted);
  const send = async (message: I) => {
    if (!frames.isOpen) await headers.promise;
    if (!frames.isOpen) {
      await status.promise;
      throw new TinyMQError("UNAVAILABLE", "the stream is closed");
    }
    frames.send(encodeFrame(method.I, message, binaryOptions));
  };
  const requests = {
    send: (message: I) => handled(send(message)),
    complete: () => {
      frames.close();
      return status.promise.then(nothing, nothing);
    },
  };
  const trailers = handled(status.promise.then(() => none));
  const meta = options.meta ?? none;
  const call = [headers.promise, responses, status.promise, trailers] as const;
  return new DuplexStreamingCall(method, meta, requests, ...call);
}

interface Deferred<T> {
  promise: Promise<T>;
  resolve: (value: T) => void;
  reject: (error: TinyMQError) => void;
}

function deferred<T>(): Deferred<T> {
  const made = {} as Deferred<T>;
  made.promise = handled(
    new Promise((resolve, reject) => {
      made.resolve = resolve;
      made.reject = reject;
    }),
  );
  return made;
}

/** Marks a rejection as handled: a program that reads only `responses` gets the error there. */
function handled<T>(promise: Promise<T>): Promise<T> {
  promise.catch(nothing);
  return promise;
}

function nothing(): void {}
