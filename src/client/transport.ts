/**
 * protobuf-ts's `RpcTransport` for tinyMQ: a streaming call is one WebSocket, a unary call is Twirp over
 * HTTP. The generated clients work on it, and its errors are `TinyMQError`s, whose `code` has the same
 * names as that of protobuf-ts's `RpcError`.
 */
import {
  type ClientStreamingCall,
  type DuplexStreamingCall,
  type MethodInfo,
  mergeRpcOptions,
  type RpcOptions,
  type RpcTransport,
  type ServerStreamingCall,
  type UnaryCall,
} from "@protobuf-ts/runtime-rpc";
import { TinyMQError } from "../errors.ts";
import { AdminClient } from "../gen/tinymq/v1/admin.client.ts";
import { callSignal } from "./abort-signals.ts";
import { ANY, checkOptions, FUNCTION, type Kinds, TEXT } from "./check.ts";
import { duplexCall } from "./duplex-call.ts";
import { hostAndPort, type ServerAddress } from "./frame-stream.ts";
import { checkHost, checkPort, checkTls } from "./settings.ts";
import { unaryCall } from "./twirp.ts";

/** Where the server is, and how to reach it. */
export interface TransportOptions extends ServerAddress {
  /** The server's token, for unary calls. Streams carry theirs in the open frame. */
  token?: string;
}

const TRANSPORT: Kinds = { host: ANY, port: ANY, tls: ANY, token: TEXT, openSocket: FUNCTION };

/** The transport of generated clients. Its constructor throws INVALID_ARGUMENT, and does not connect. */
export class TinyMQTransport implements RpcTransport {
  /** `host:port`, an IPv6 address in brackets. */
  readonly address: string;
  readonly #options: TransportOptions;

  constructor(options: TransportOptions) {
    checkOptions(options, "transport options", TRANSPORT, '{ host: "localhost", port: 9800 }');
    checkHost(options.host);
    checkPort(options.port);
    checkTls(options.tls ?? false);
    this.#options = options;
    this.address = hostAndPort(options);
  }

  mergeOptions(options?: Partial<RpcOptions>): RpcOptions {
    return mergeRpcOptions({}, options);
  }

  /**
   * One Twirp call. Its time limit, `timeout` in ms or a date, is 30 s unless it is given. Its promises reject with a
   * `TinyMQError`.
   */
  unary<I extends object, O extends object>(
    method: MethodInfo<I, O>,
    input: I,
    options: RpcOptions,
  ): UnaryCall<I, O> {
    const limited = { ...options, timeout: options.timeout ?? UNARY_TIMEOUT_MS };
    return unaryCall(this.#options, method, input, limited);
  }

  /**
   * One WebSocket. `requests.send()` resolves when the frame is handed to the socket, `requests.complete()`
   * closes it (there is no half-closing: send a `finish` frame before), and `headers` resolve when the handshake is done.
   */
  duplex<I extends object, O extends object>(
    method: MethodInfo<I, O>,
    options: RpcOptions,
  ): DuplexStreamingCall<I, O> {
    return duplexCall(this.#options, method, options, callSignal(options));
  }

  serverStreaming<I extends object, O extends object>(method: MethodInfo<I, O>): ServerStreamingCall<I, O> {
    throw oneWayOnly(method);
  }

  clientStreaming<I extends object, O extends object>(method: MethodInfo<I, O>): ClientStreamingCall<I, O> {
    throw oneWayOnly(method);
  }
}

/**
 * The generated client of the service `Admin` for the server at `host:port`. In its types each field of a request is
 * required; 0 and "" are what they mean when left out. A call takes `timeout` (ms, default 30 s; or a date) and `abort`
 * as its second argument. It rejects with a `TinyMQError`: NOT_FOUND, `Unauthenticated`, `ConnectionRefusedError`,
 * DEADLINE_EXCEEDED, INVALID_ARGUMENT …
 *
 * @example
 * const { messages } = await adminClient("localhost", 9800).getStatus({}).response;
 */
export function adminClient(
  host: string,
  port: number,
  options: Omit<TransportOptions, "host" | "port"> = {},
): AdminClient {
  return new AdminClient(new TinyMQTransport({ ...options, host, port }));
}

/** Of a unary call without a `timeout` of its own, in ms: redriving a million messages takes less. */
const UNARY_TIMEOUT_MS = 30_000;

function oneWayOnly(method: MethodInfo): TinyMQError {
  return new TinyMQError("UNIMPLEMENTED", `${method.name} streams one way only; tinyMQ has no such calls`);
}
