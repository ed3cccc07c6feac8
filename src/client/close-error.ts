/** Errors for how calls and connections end: close codes, statuses, refused handshakes, aborted signals. */
import {
  CODE_NUMBERS,
  type Code,
  ConnectionRefusedError,
  codeFromNumber,
  DeadConnectionUsed,
  InitFailed,
  InvalidTopic,
  MessageTooLarge,
  messageOf,
  QueueFull,
  TinyMQError,
  Unauthenticated,
} from "../errors.ts";
import {
  CLOSE_ABNORMAL,
  CLOSE_GOING_AWAY,
  CLOSE_MALFORMED,
  CLOSE_NORMAL,
  CLOSE_NOT_UTF8,
  CLOSE_RESTART,
  CLOSE_TOO_LARGE,
  closeCodeOf,
  codeOfClose,
} from "../wire/close.ts";
import { DEFAULT_PORT } from "../wire/limits.ts";

/** Close codes of RFC 6455, and what they mean here. */
const SOCKET_CODES: Record<number, [Code, string]> = {
  [CLOSE_NORMAL]: ["UNAVAILABLE", "the server ended the stream"],
  [CLOSE_GOING_AWAY]: ["UNAVAILABLE", "the server is stopping"],
  [CLOSE_MALFORMED]: ["INTERNAL", "the server received a malformed WebSocket frame"],
  [CLOSE_ABNORMAL]: ["UNAVAILABLE", "the connection was lost"],
  [CLOSE_NOT_UTF8]: ["INTERNAL", "the server received a text frame that is not UTF-8"],
  [CLOSE_TOO_LARGE]: ["OUT_OF_RANGE", "the server received a frame above its size limit"],
  [CLOSE_RESTART]: ["UNAVAILABLE", "the server restarts"],
};

/** Codes after which connecting again may help. */
const PASSING: ReadonlySet<Code> = new Set<Code>(["UNAVAILABLE", "RESOURCE_EXHAUSTED", "DEADLINE_EXCEEDED"]);
/**
 * Errors after which connecting again may help although their code is not in PASSING: the server reported a fault of
 * its own, or the close code is unknown (source: docs/protocol.md, "Close codes").
 */
const alsoPassing = new WeakSet<TinyMQError>();

/** The error of a stream that the server or the network ended. */
export function closeError(closeCode: number, reason: string, detail: string): TinyMQError {
  const error = meaningOf(closeCode, reason, detail);
  const isUnknown = codeOfClose(closeCode) === undefined && SOCKET_CODES[closeCode] === undefined;
  if (closeCode === closeCodeOf("INTERNAL") || closeCode === closeCodeOf("UNKNOWN") || isUnknown) {
    alsoPassing.add(error);
  }
  return error;
}

function meaningOf(closeCode: number, reason: string, detail: string): TinyMQError {
  const code = codeOfClose(closeCode);
  // The whole stream was refused, not a message: RESOURCE_EXHAUSTED is not `QueueFull` here.
  if (code === "UNAUTHENTICATED") return unauthenticated(reason || MISSING_OR_WRONG);
  if (code !== undefined) return new TinyMQError(code, reason || `the server closed with ${code}`);
  const [known, meaning] = SOCKET_CODES[closeCode] ?? ["UNKNOWN", "the connection was closed"];
  const words = [reason, detail].filter((part) => part !== "").join("; ");
  return new TinyMQError(known, `${meaning} (close code ${closeCode}${words === "" ? "" : `: ${words}`})`);
}

/** HTTP statuses with which a tinyMQ server refuses what this client asks for (source: src/server/http.ts). */
const SERVER_STATUSES: Record<number, string> = {
  403: "the server does not allow this host name or this page's origin: its log says which, and `--allow-origin` allows an origin",
  503: "the server is stopping or has as many connections as it may have, or a proxy on the way finds no server",
};
/** Where Bun and `ws` name the status that a handshake was answered with; browsers do not. */
const HANDSHAKE_STATUS = /(?:Unexpected server response|Expected 101 status code): (\d{3})/;

/** What to say of a server that does not answer as tinyMQ does. */
export const NOT_TINYMQ =
  "it does not look like a tinyMQ server: check host and port, and any proxy on the way";

/** What an HTTP status means that a tinyMQ client did not ask for. */
export function meaningOfStatus(status: number): string {
  return `HTTP status ${status}: ${SERVER_STATUSES[status] ?? NOT_TINYMQ}`;
}

/** How Bun and Node say that what answers does not speak TLS. */
const NO_TLS = /wrong.version.number/i;

/** The error of a refused handshake; `detail` is the runtime's error message, or "". */
export function refusedError(
  { host, port }: { host: string; port: number },
  address: string,
  detail: string,
): ConnectionRefusedError {
  if (NO_TLS.test(detail)) {
    const why = "it answers, but not with TLS: the server may not use TLS, so leave out the option `tls`";
    return new ConnectionRefusedError(`cannot connect to ${address}: ${why}`);
  }
  const status = HANDSHAKE_STATUS.exec(detail)?.[1];
  if (status !== undefined)
    return new ConnectionRefusedError(`${address} answers with ${meaningOfStatus(Number(status))}`);
  const why = detail === "" ? "" : `: ${detail}`;
  return new ConnectionRefusedError(`cannot connect to ${address}${why}; ${whatToLookAt(host, port)}`);
}

/** Whether a host is named as one of this machine. */
export function isLocal(host: string): boolean {
  return /^(localhost|127\..*|\[?::1\]?)$/.test(host);
}

/** Hints for a refused connection; `origin` is that of the page, if there is one. */
export function whatToLookAt(host: string, port = DEFAULT_PORT, origin = pageOrigin()): string {
  const runner = "process" in globalThis && !("Bun" in globalThis) ? "npx" : "bunx";
  const start = `${runner} tmqserver start${port === DEFAULT_PORT ? "" : ` --port ${port}`}`;
  const running = isLocal(host)
    ? `is a tinyMQ server running there, and not another program? \`${start}\` starts one`
    : "is a tinyMQ server running there, and does it listen on that address (`--host`)?";
  if (origin === undefined) return running;
  return `browsers do not say why: ${running}; does it allow this page? \`--allow-origin ${origin}\` does`;
}

/** The origin of the page that this runs in; undefined outside of browsers. */
function pageOrigin(): string | undefined {
  // A page, or a worker of one.
  const isBrowser = "document" in globalThis || "importScripts" in globalThis;
  const { location } = globalThis as { location?: { origin?: string } };
  return isBrowser ? location?.origin : undefined;
}

/** The error of an aborted signal: its reason if that is a `TinyMQError`, else CANCELLED or DEADLINE_EXCEEDED. */
export function abortError(signal: AbortSignal | undefined): TinyMQError {
  const reason: unknown = signal?.reason;
  if (reason instanceof DOMException && reason.name === "TimeoutError") {
    return new TinyMQError("DEADLINE_EXCEEDED", "the call's time limit has passed", { cause: reason });
  }
  return cancelledError(signal);
}

/**
 * CANCELLED, unless the signal's reason is a `TinyMQError`. `failure` is why there was no connection, which says more
 * than the reason of the signal.
 */
export function cancelledError(signal: AbortSignal | undefined, failure?: TinyMQError): TinyMQError {
  const reason: unknown = signal?.reason;
  if (reason instanceof TinyMQError) return reason;
  return new TinyMQError("CANCELLED", `aborted${lastFailure(failure)}`, { cause: failure ?? reason });
}

function lastFailure(failure: TinyMQError | undefined): string {
  return failure === undefined ? "" : ` while there was no connection: ${failure.message}`;
}

/** What `initConn()` throws if `error` ended the stream before it was open. */
export function initError(error: TinyMQError): TinyMQError {
  if (error instanceof ConnectionRefusedError || error instanceof Unauthenticated) return error;
  // The topic is the only part of an open frame that a program can get wrong.
  if (error.code === "INVALID_ARGUMENT") return new InvalidTopic(error.message, { cause: error });
  if (error.code === "CANCELLED") return error;
  return new InitFailed(error.message, { cause: error, code: error.code });
}

/** The error of a `rejected` answer; `code` is a gRPC status number. */
export function rejectionError(code: number, message: string): TinyMQError {
  return errorOfCode(codeFromNumber(code), message || `the server rejected it with status ${code}`);
}

/** INTERNAL: the server broke the protocol. */
export function protocolError(what: string): TinyMQError {
  return new TinyMQError("INTERNAL", `the server broke the protocol: ${what}`);
}

/** INTERNAL: the server sent a frame of a kind that is not allowed here. `kind` is its `oneofKind`. */
export function unexpectedAnswer(kind: string | undefined): TinyMQError {
  return protocolError(`a frame of kind ${kind ?? "unknown"}`);
}

/** Whether connecting again may help. */
export function isPassing(error: TinyMQError): boolean {
  return PASSING.has(error.code) || alsoPassing.has(error);
}

/** The error of a Twirp response: its code is gRPC's name in lower case (source: Twirp's wire protocol). */
export function twirpError(code: string, message: string): TinyMQError {
  const name = code.toUpperCase();
  // The server's own words are for those who write HTTP requests.
  if (name === "UNAUTHENTICATED") return unauthenticated(MISSING_OR_WRONG);
  if (name === "BAD_ROUTE") return new TinyMQError("UNIMPLEMENTED", message);
  if (name === "MALFORMED") return new TinyMQError("INVALID_ARGUMENT", message);
  return errorOfCode(Object.hasOwn(CODE_NUMBERS, name) ? (name as Code) : "UNKNOWN", message);
}

/**
 * What calls on a dead connection throw; the cause is why it died. CANCELLED is thrown as it is. Without `error` it was
 * closed by the program; `failure` is why it was not open then.
 */
export function deadConnection(error: TinyMQError | undefined, failure?: TinyMQError): TinyMQError {
  if (error === undefined) {
    const message = failure === undefined ? "the connection is closed" : `closed${lastFailure(failure)}`;
    return new DeadConnectionUsed(message, { cause: failure });
  }
  if (error.code === "CANCELLED") return error;
  return new DeadConnectionUsed(`the connection is dead: ${error.message}`, { cause: error });
}

const MISSING_OR_WRONG = "the token is missing or wrong";
/** What a program does about a token; the command line replaces it by its own. */
export const TOKEN_ADVICE = ": set the option `token`";

function unauthenticated(why: string): Unauthenticated {
  return new Unauthenticated(`${why}${TOKEN_ADVICE}`);
}

function errorOfCode(code: Code, message: string): TinyMQError {
  if (code === "RESOURCE_EXHAUSTED") return new QueueFull(message);
  if (code === "OUT_OF_RANGE") return new MessageTooLarge(message);
  if (code === "UNAUTHENTICATED") return new Unauthenticated(message);
  return new TinyMQError(code, message);
}

/** DEADLINE_EXCEEDED: a poll that does not wait got no answer; `isOpen` says whether the connection is up. */
export function noAnswer(isOpen: boolean): TinyMQError {
  const why = isOpen ? "the server does not answer" : "the connection is lost and was not restored in time";
  return new TinyMQError("DEADLINE_EXCEEDED", `cannot tell whether there is a message: ${why}`);
}

/** DATA_LOSS: the codec refused the body of message `id`. */
export function undecodable(id: number, cause: unknown): TinyMQError {
  const why = messageOf(cause);
  return new TinyMQError("DATA_LOSS", `message ${id}: its body cannot be decoded: ${why}`, { cause });
}
