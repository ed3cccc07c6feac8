/** Abort signals and time limits of calls. */
import type { RpcOptions } from "@protobuf-ts/runtime-rpc";
import { TinyMQError } from "../errors.ts";

/** The signal that ends a call: its `abort`, its `timeout` (ms or a date), either, or none. */
export function callSignal(options: RpcOptions): AbortSignal | undefined {
  const { abort, timeout } = options;
  if (timeout === undefined) return abort;
  const delayMs = typeof timeout === "number" ? timeout : Math.max(0, timeout.getTime() - Date.now());
  const limit = AbortSignal.timeout(delayMs);
  return abort === undefined ? limit : AbortSignal.any([abort, limit]);
}

/** The error of an aborted signal: the reason itself if it is ours, else CANCELLED or DEADLINE_EXCEEDED. */
export function abortError(signal: AbortSignal | undefined): TinyMQError {
  const reason: unknown = signal?.reason;
  if (reason instanceof TinyMQError) return reason;
  if (reason instanceof DOMException && reason.name === "TimeoutError") {
    return new TinyMQError("DEADLINE_EXCEEDED", "the time limit of the call is over", { cause: reason });
  }
  return new TinyMQError("CANCELLED", "aborted", { cause: reason });
}
