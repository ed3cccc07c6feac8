/** A command's unary calls. */
import { join } from "node:path";
import { ConnectionRefusedError, TinyMQError } from "../src/errors.ts";
import { adminClient } from "../src/index.ts";
import { readRecord, serverUrl } from "./daemon/server-record.ts";
import { checkStateFolder, PID_FILE } from "./daemon/state-folder.ts";
import { clientOptions, findTarget, stateFolder, type Target } from "./target.ts";

const CALL_TIMEOUT_MS = 10_000;
/** How long a server that nobody asked for may take to answer, in ms. */
const LOOK_TIMEOUT_MS = 1_000;

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

/**
 * The error where no server runs that was started from the state folder. It names one that answers all the same
 * where other commands go; `then` says what to do about that one.
 */
export async function notRunning(then: string, note = ""): Promise<TinyMQError> {
  // No token is sent to a server that the user did not name; that it refuses us shows that it is there.
  const target = findTarget({}, { ...process.env, TINYMQ_TOKEN: "", TINYMQ_TOKEN_FILE: "" });
  const look = ask(target, (admin, options) => admin.getStatus({}, { ...options, timeout: LOOK_TIMEOUT_MS }));
  const isThere = await look.then(
    () => true,
    (error) => error instanceof TinyMQError && error.code !== "UNAVAILABLE",
  );
  const found = isThere
    ? `no server was started from the state folder ${stateFolder()}, but one answers at ${serverUrl(target)}: ${then}`
    : `tinyMQ is not running${crashed()}`;
  return new TinyMQError("FAILED_PRECONDITION", `${found}${note}`);
}

/** Of a server that left its PID file. */
function crashed(): string {
  const folder = stateFolder();
  const left = checkStateFolder(folder) ? readRecord(join(folder, PID_FILE)) : null;
  return left === null
    ? ""
    : `: the server with pid ${left.pid} has ended without a stop, and what it held is lost`;
}

function explain(error: unknown, target: Target): unknown {
  if (!(error instanceof TinyMQError)) return error;
  if (error instanceof ConnectionRefusedError) {
    const cause = error.cause as Error & { code?: string };
    const why = cause.code ?? cause.message;
    return new ConnectionRefusedError(`cannot reach a tinyMQ server at ${serverUrl(target)}: ${why}`, {
      cause: error,
    });
  }
  // A tinyMQ answers, and says what is wrong: this is another program, or a proxy.
  const isOther = error.code === "DEADLINE_EXCEEDED" || error.code === "UNKNOWN";
  return isOther ? new TinyMQError("UNAVAILABLE", error.message, { cause: error }) : error;
}
