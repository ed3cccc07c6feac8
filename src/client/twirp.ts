/** Unary calls: Twirp over HTTP (source: twitchtv.github.io/twirp, "Twirp Wire Protocol"). */
import { type MethodInfo, type RpcMetadata, type RpcOptions, UnaryCall } from "@protobuf-ts/runtime-rpc";
import { ConnectionRefusedError, TinyMQError } from "../errors.ts";
import { abortError, callSignal } from "./abort.ts";
import { twirpError } from "./close-error.ts";
import type { TlsOptions } from "./sockets/socket.ts";

/**
 * Calls `method` of the server at `origin` (`http://host:port`). Rejects with `ConnectionRefusedError`,
 * with the error that the server told, or CANCELLED and DEADLINE_EXCEEDED by `options`.
 */
export function unaryCall<I extends object, O extends object>(
  origin: string,
  token: string | undefined,
  tls: TlsOptions | undefined,
  method: MethodInfo<I, O>,
  input: I,
  options: RpcOptions,
): UnaryCall<I, O> {
  const none: RpcMetadata = {};
  const headers: Record<string, string> = { "content-type": "application/protobuf" };
  if (token) headers.authorization = `Bearer ${token}`;
  const response = post(`${origin}/twirp/${method.service.typeName}/${method.name}`, {
    method: "POST",
    headers,
    body: method.I.toBinary(input, options.binaryOptions) as Uint8Array<ArrayBuffer>,
    signal: callSignal(options) ?? null,
    ...(tls === undefined ? {} : { tls }),
  }).then((bytes) => method.O.fromBinary(bytes, options.binaryOptions));
  const done = response.then(() => none);
  const status = response.then(() => ({ code: "OK", detail: "" }));
  // Each caller awaits the one it wants; the others must not count as unhandled.
  for (const promise of [response, done, status]) promise.catch(() => {});
  return new UnaryCall(method, options.meta ?? none, input, done, response, status, done);
}

async function post(url: string, init: RequestInit): Promise<Uint8Array> {
  let response: Response;
  try {
    response = await fetch(url, init);
    if (response.ok) return new Uint8Array(await response.arrayBuffer());
  } catch (thrown) {
    if (init.signal?.aborted) throw abortError(init.signal);
    throw new ConnectionRefusedError(`cannot reach ${url}: ${(thrown as Error).message}`, { cause: thrown });
  }
  const text = await response.text();
  throw errorOfAnswer(response.status, text);
}

function errorOfAnswer(status: number, text: string): TinyMQError {
  try {
    const { code, msg } = JSON.parse(text) as { code?: unknown; msg?: unknown };
    if (typeof code === "string") return twirpError(code, typeof msg === "string" ? msg : code);
  } catch {
    // Not Twirp's JSON: somebody between us and the server answered, and the status is all we know.
  }
  return new TinyMQError("UNKNOWN", `the server answered with HTTP status ${status}: ${text.slice(0, 200)}`);
}
