/** A command's unary calls. */
import { ConnectionRefusedError, TinyMQError } from "../src/errors.ts";
import { adminClient } from "../src/index.ts";
import { serverUrl } from "./daemon/server-record.ts";
import { clientOptions, type Target } from "./target.ts";

const CALL_TIMEOUT_MS = 10_000;

type Admin = ReturnType<typeof adminClient>;
type CallOptions = Parameters<Admin["getStatus"]>[1];

/**
 * The answer of a call of the service Admin. Throws what the server answers, and UNAVAILABLE if no tinyMQ
 * answers there.
 */
export async function ask<Answer>(
  target: Target,
  call: (admin: Admin, options: CallOptions) => { response: Promise<Answer> },
): Promise<Answer> {
  const admin = adminClient(target.host, target.port, clientOptions(target));
  try {
    return await call(admin, { timeout: CALL_TIMEOUT_MS }).response;
  } catch (error) {
    throw explain(error, target);
  }
}

/** The topic; null if the server has none of this name. */
export async function findTopic(target: Target, topic: string) {
  try {
    return await ask(target, (admin, options) => admin.getTopic({ topic }, options));
  } catch (error) {
    if (error instanceof TinyMQError && error.code === "NOT_FOUND") return null;
    throw error;
  }
}

function explain(error: unknown, target: Target): unknown {
  if (!(error instanceof TinyMQError)) return error;
  const url = serverUrl(target);
  if (error instanceof ConnectionRefusedError) {
    const { code, message } = error.cause as Error & { code?: string };
    const why = code ?? message;
    return new ConnectionRefusedError(`cannot reach a tinyMQ server at ${url}: ${why}`, { cause: error });
  }
  if (error.code === "DEADLINE_EXCEEDED") {
    const why = `no answer within ${CALL_TIMEOUT_MS / 1_000} s`;
    return new ConnectionRefusedError(`cannot reach a tinyMQ server at ${url}: ${why}`, { cause: error });
  }
  // A tinyMQ says what is wrong: this is another program, or a proxy.
  if (error.code === "UNKNOWN") {
    return new TinyMQError("UNAVAILABLE", `${url} is not a tinyMQ server: ${error.message}`, {
      cause: error,
    });
  }
  return error;
}
