/** Unary calls: Twirp over HTTP (source: twitchtv.github.io/twirp, "Twirp Wire Protocol"). */
import type { IMessageType } from "@protobuf-ts/runtime";
import { type MethodInfo, type RpcMetadata, type RpcOptions, UnaryCall } from "@protobuf-ts/runtime-rpc";
import { ConnectionRefusedError, messageOf, TinyMQError } from "../errors.ts";
import { formatDuration } from "../wire/units.ts";
import { callSignal } from "./abort-signals.ts";
import { ANY, checkOptions, invalid } from "./check.ts";
import { abortError, meaningOfStatus, NOT_TINYMQ, twirpError, whatToLookAt } from "./close-error.ts";
import { hostAndPort, type ServerAddress, tlsOptions } from "./frame-stream.ts";

/** Of an answer that has what was asked for. */
const OK = 200;

/**
 * Calls `method` of the server. Rejects with `ConnectionRefusedError`, with the error in the server's response, or when
 * the call is aborted: with the meaning of `options.abort`'s reason if that was it, else with DEADLINE_EXCEEDED.
 */
export function unaryCall<I extends object, O extends object>(
  server: ServerAddress & { token?: string },
  method: MethodInfo<I, O>,
  input: I,
  options: RpcOptions,
): UnaryCall<I, O> {
  const none: RpcMetadata = {};
  const signal = callSignal(options);
  const headers: Record<string, string> = { "content-type": "application/protobuf" };
  if (server.token) headers.authorization = `Bearer ${server.token}`;
  const tls = tlsOptions(server);
  const origin = `${server.tls ? "https" : "http"}://${hostAndPort(server)}`;
  const request = {
    method: "POST",
    headers,
    body: encodeRequest(method.I, input, options),
    signal: signal ?? null,
    ...(tls === undefined ? {} : { tls }),
  };
  const response = post(`${origin}/twirp/${method.service.typeName}/${method.name}`, request)
    .catch((thrown) => {
      throw signal?.aborted ? endedError(origin, options) : unreachable(server.host, origin, thrown);
    })
    .then(({ status, bytes }) => {
      if (status !== OK) throw answeredError(origin, status, new TextDecoder().decode(bytes));
      return decodeResponse(origin, method.O, bytes, options);
    });
  const done = response.then(() => none);
  const status = response.then(() => ({ code: "OK", detail: "" }));
  // Callers await the one they want; the others must not count as unhandled.
  for (const promise of [response, done, status]) promise.catch(() => {});
  return new UnaryCall(method, options.meta ?? none, input, done, response, status, done);
}

/**
 * Encodes a request; missing fields get their defaults. Throws INVALID_ARGUMENT for unknown fields and for values of
 * the wrong type.
 */
function encodeRequest<I extends object>(
  type: IMessageType<I>,
  input: I,
  options: RpcOptions,
): Uint8Array<ArrayBuffer> {
  const fields = Object.fromEntries(type.fields.map(({ localName }) => [localName, ANY]));
  checkOptions(input, `fields of a ${type.typeName.split(".").at(-1)}`, fields, '{ topic: "t" }');
  const message = type.create(input);
  if (!type.is(message))
    throw invalid(`a field of ${type.typeName} has a wrong type: ${JSON.stringify(input)}`);
  return type.toBinary(message, options.binaryOptions) as Uint8Array<ArrayBuffer>;
}

/** Throws UNKNOWN where another kind of server answered. */
function decodeResponse<O extends object>(
  origin: string,
  type: IMessageType<O>,
  bytes: Uint8Array,
  options: RpcOptions,
): O {
  try {
    return type.fromBinary(bytes, options.binaryOptions);
  } catch (cause) {
    const what = `${origin} answers with something other than a ${type.typeName}: ${NOT_TINYMQ}`;
    throw new TinyMQError("UNKNOWN", what, { cause });
  }
}

async function post(url: string, init: RequestInit): Promise<{ status: number; bytes: Uint8Array }> {
  const response = await fetch(url, init);
  return { status: response.status, bytes: new Uint8Array(await response.arrayBuffer()) };
}

/** The error of a call that was aborted, or took longer than its `timeout`. */
function endedError(origin: string, { abort, timeout }: RpcOptions): TinyMQError {
  if (abort?.aborted) return abortError(abort);
  const limit =
    timeout instanceof Date ? `before ${timeout.toISOString()}` : `within ${formatDuration(timeout ?? 0)}`;
  return new TinyMQError(
    "DEADLINE_EXCEEDED",
    `no answer from ${origin} ${limit}, the time limit of the call`,
  );
}

function unreachable(host: string, origin: string, cause: unknown): ConnectionRefusedError {
  const why = `cannot reach ${origin}: ${messageOf(cause)}; ${whatToLookAt(host)}`;
  return new ConnectionRefusedError(why, { cause });
}

function answeredError(origin: string, status: number, text: string): TinyMQError {
  try {
    const { code, msg } = JSON.parse(text) as { code?: unknown; msg?: unknown };
    if (typeof code === "string") return twirpError(code, typeof msg === "string" ? msg : code);
  } catch {
    // Not Twirp's JSON: a proxy answered, for example. The status is all we know.
  }
  const said = text === "" ? "" : `; it says: ${text.slice(0, 200)}`;
  return new TinyMQError("UNKNOWN", `${origin} answers with ${meaningOfStatus(status)}${said}`);
}
