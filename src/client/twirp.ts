/** Unary calls: Twirp over HTTP (source: twitchtv.github.io/twirp, "Twirp Wire Protocol"). */
import type { IMessageType } from "@protobuf-ts/runtime";
import { type MethodInfo, type RpcMetadata, type RpcOptions, UnaryCall } from "@protobuf-ts/runtime-rpc";
import { ConnectionRefusedError, TinyMQError } from "../errors.ts";
import { ANY, checkOptions, invalid } from "./check.ts";
import { abortError, twirpError, whatToLookAt } from "./close-error.ts";
import { hostAndPort, type ServerAddress, tlsOptions } from "./frame-stream.ts";

/**
 * Calls `method` of the server. Rejects with `ConnectionRefusedError`, with the error in the server's
 * response, or with CANCELLED or DEADLINE_EXCEEDED when `signal` is aborted.
 */
export function unaryCall<I extends object, O extends object>(
  server: ServerAddress & { token?: string },
  method: MethodInfo<I, O>,
  input: I,
  options: RpcOptions,
  signal: AbortSignal | undefined,
): UnaryCall<I, O> {
  const none: RpcMetadata = {};
  const headers: Record<string, string> = { "content-type": "application/protobuf" };
  if (server.token) headers.authorization = `Bearer ${server.token}`;
  const tls = tlsOptions(server);
  const origin = `${server.tls ? "https" : "http"}://${hostAndPort(server)}`;
  const response = post(server.host, `${origin}/twirp/${method.service.typeName}/${method.name}`, {
    method: "POST",
    headers,
    body: encodeRequest(method.I, input, options),
    signal: signal ?? null,
    ...(tls === undefined ? {} : { tls }),
  }).then((bytes) => decodeResponse(method.O, bytes, options));
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
function decodeResponse<O extends object>(type: IMessageType<O>, bytes: Uint8Array, options: RpcOptions): O {
  try {
    return type.fromBinary(bytes, options.binaryOptions);
  } catch (cause) {
    throw new TinyMQError("UNKNOWN", `the answer is no ${type.typeName}: is it a tinyMQ server?`, { cause });
  }
}

async function post(host: string, url: string, init: RequestInit): Promise<Uint8Array> {
  let response: Response;
  try {
    response = await fetch(url, init);
    if (response.ok) return new Uint8Array(await response.arrayBuffer());
  } catch (thrown) {
    if (init.signal?.aborted) throw abortError(init.signal);
    const why = `cannot reach ${url}: ${(thrown as Error).message}; ${whatToLookAt(host)}`;
    throw new ConnectionRefusedError(why, { cause: thrown });
  }
  throw answeredError(response.status, await response.text());
}

function answeredError(status: number, text: string): TinyMQError {
  try {
    const { code, msg } = JSON.parse(text) as { code?: unknown; msg?: unknown };
    if (typeof code === "string") return twirpError(code, typeof msg === "string" ? msg : code);
  } catch {
    // Not Twirp's JSON: a proxy answered, for example. The status is all we know.
  }
  return new TinyMQError("UNKNOWN", `the server answered with HTTP status ${status}: ${text.slice(0, 200)}`);
}
