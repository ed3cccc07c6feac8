/**
 * protobuf-ts's `RpcTransport` for tinyMQ: a streaming call is one WebSocket, a unary call is Twirp over
 * HTTP. The generated clients work on it, and its errors are `TinyMQError`s, whose `code` has the same
 * names as that of protobuf-ts's `RpcError`.
 */
import {
  type ClientStreamingCall,
  DuplexStreamingCall,
  type MethodInfo,
  mergeRpcOptions,
  type RpcMetadata,
  type RpcOptions,
  type RpcTransport,
  type ServerStreamingCall,
  type UnaryCall,
} from "@protobuf-ts/runtime-rpc";
import { TinyMQError } from "../errors.ts";
import { SUBPROTOCOL } from "../wire/limits.ts";
import { runtimeSockets } from "./sockets/runtime.ts";
import type { OpenSocket, TlsOptions } from "./sockets/socket.ts";
import { StreamCall } from "./stream-call.ts";
import { unaryCall } from "./twirp.ts";

/** Where the server is, and how to reach it. */
export interface TransportOptions {
  host: string;
  port: number;
  /** Goes in the header of unary calls; streams carry theirs in the open frame. */
  token?: string;
  tls?: boolean | TlsOptions;
  /** Instead of the runtime's own sockets. */
  openSocket?: OpenSocket;
}

export class TinyMQTransport implements RpcTransport {
  /** `host:port`, an IPv6 address in brackets. */
  readonly address: string;
  readonly #options: TransportOptions;

  constructor(options: TransportOptions) {
    this.#options = options;
    const bare = options.host.includes(":") && !options.host.startsWith("[");
    this.address = `${bare ? `[${options.host}]` : options.host}:${options.port}`;
  }

  mergeOptions(options?: Partial<RpcOptions>): RpcOptions {
    return mergeRpcOptions({}, options);
  }

  /** One Twirp call. Its promises reject with a `TinyMQError`. */
  unary<I extends object, O extends object>(
    method: MethodInfo<I, O>,
    input: I,
    options: RpcOptions,
  ): UnaryCall<I, O> {
    const { tls, token } = this.#options;
    return unaryCall(
      `${tls ? "https" : "http"}://${this.address}`,
      token,
      this.#tls(),
      method,
      input,
      options,
    );
  }

  /**
   * One WebSocket. `requests.send()` resolves when the frame is handed to the socket, `requests.complete()`
   * closes it (there is no half-closing), and `headers` resolve when the handshake is done.
   */
  duplex<I extends object, O extends object>(
    method: MethodInfo<I, O>,
    options: RpcOptions,
  ): DuplexStreamingCall<I, O> {
    const path = `/${method.service.typeName}/${method.name}`;
    const url = `${this.#options.tls ? "wss" : "ws"}://${this.address}${path}`;
    const call = new StreamCall<I, O>(method, options, this.address, (events) =>
      (this.#options.openSocket ?? runtimeSockets())(url, SUBPROTOCOL, this.#tls(), events),
    );
    const none: RpcMetadata = {};
    const headers = call.opened.then(() => none);
    const trailers = call.status.then(() => none);
    // Whoever reads only `responses` learns of the end there: the rest must not count as unhandled.
    for (const promise of [headers, trailers]) promise.catch(() => {});
    const { responses, status } = call;
    return new DuplexStreamingCall(method, options.meta ?? none, call, headers, responses, status, trailers);
  }

  serverStreaming<I extends object, O extends object>(method: MethodInfo<I, O>): ServerStreamingCall<I, O> {
    throw noSuchKind(method);
  }

  clientStreaming<I extends object, O extends object>(method: MethodInfo<I, O>): ClientStreamingCall<I, O> {
    throw noSuchKind(method);
  }

  #tls(): TlsOptions | undefined {
    return typeof this.#options.tls === "object" ? this.#options.tls : undefined;
  }
}

function noSuchKind(method: MethodInfo): TinyMQError {
  return new TinyMQError(
    "UNIMPLEMENTED",
    `${method.name} streams one way only, and tinyMQ has no such calls`,
  );
}
