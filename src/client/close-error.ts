/** What the server's refusals mean to a program: close codes and statuses as errors. */
import {
  CODE_NUMBERS,
  type Code,
  ConnectionRefusedError,
  codeFromNumber,
  DeadConnectionUsed,
  InitFailed,
  InvalidTopic,
  MessageTooLarge,
  QueueFull,
  TinyMQError,
  Unauthenticated,
} from "../errors.ts";
import { CLOSE_ABNORMAL, CLOSE_GOING_AWAY, CLOSE_NORMAL, CLOSE_RESTART, codeOfClose } from "../wire/close.ts";

/** Close codes of RFC 6455 that Bun sends by itself, and what they mean here. */
const SOCKET_CODES: Record<number, [Code, string]> = {
  [CLOSE_NORMAL]: ["UNAVAILABLE", "the server ended the stream"],
  [CLOSE_GOING_AWAY]: ["UNAVAILABLE", "the server goes away"],
  1002: ["INTERNAL", "the server saw a broken WebSocket frame"],
  [CLOSE_ABNORMAL]: ["UNAVAILABLE", "the connection was lost"],
  1007: ["INTERNAL", "the server saw a frame of the wrong kind"],
  1009: ["OUT_OF_RANGE", "the server found a frame too large"],
  [CLOSE_RESTART]: ["UNAVAILABLE", "the server restarts"],
};

/** The error that the end of an open stream means; a 1000 that we did not ask for is UNAVAILABLE. */
export function closeError(closeCode: number, reason: string, detail: string): TinyMQError {
  const code = codeOfClose(closeCode);
  // A stream that ends with RESOURCE_EXHAUSTED says nothing of a message: no `QueueFull` and the like here.
  if (code === "UNAUTHENTICATED") return new Unauthenticated(reason || "the token is missing or wrong");
  if (code !== undefined) return new TinyMQError(code, reason || `the server closed with ${code}`);
  const [known, meaning] = SOCKET_CODES[closeCode] ?? ["UNKNOWN", "the connection was closed"];
  const words = [reason, detail].filter((part) => part !== "").join("; ");
  return new TinyMQError(known, `${meaning} (close code ${closeCode}${words === "" ? "" : `: ${words}`})`);
}

/** The error of a handshake that did not come about. */
export function refusedError(address: string, detail: string): ConnectionRefusedError {
  return new ConnectionRefusedError(`cannot connect to ${address}${detail === "" ? "" : `: ${detail}`}`);
}

/** What `initConn()` throws where the server ended the stream with `error` instead of opening it. */
export function initError(error: TinyMQError): TinyMQError {
  if (error instanceof ConnectionRefusedError || error instanceof Unauthenticated) return error;
  // The open frame holds nothing else that a program could have got wrong.
  if (error.code === "INVALID_ARGUMENT") return new InvalidTopic(error.message, { cause: error });
  if (error.code === "CANCELLED") return error;
  return new InitFailed(error.message, { cause: error, code: error.code });
}

/** The error of a `rejected` answer; `code` is a gRPC status number. */
export function rejectionError(code: number, message: string): TinyMQError {
  return errorOfCode(codeFromNumber(code), message || `the server rejected it with status ${code}`);
}

/** What is thrown at a frame that has no place in the protocol. `kind` is its `oneofKind`. */
export function unexpectedAnswer(kind: string | undefined): TinyMQError {
  return new TinyMQError("INTERNAL", `the server broke the protocol: ${kind ?? "an unknown kind of answer"}`);
}

/** Whether coming back later may help. */
export function isPassing(error: TinyMQError): boolean {
  return (
    error.code === "UNAVAILABLE" || error.code === "RESOURCE_EXHAUSTED" || error.code === "DEADLINE_EXCEEDED"
  );
}

/** The error of a Twirp answer: its code is gRPC's name in lower case (source: Twirp's wire protocol). */
export function twirpError(code: string, message: string): TinyMQError {
  const name = code.toUpperCase();
  if (name === "BAD_ROUTE") return new TinyMQError("UNIMPLEMENTED", message);
  if (name === "MALFORMED") return new TinyMQError("INVALID_ARGUMENT", message);
  return errorOfCode(Object.hasOwn(CODE_NUMBERS, name) ? (name as Code) : "UNKNOWN", message);
}

/** What calls on a dead connection throw: why it died is the cause. CANCELLED stays itself. */
export function deadConnection(error: TinyMQError | undefined): TinyMQError {
  if (error === undefined) return new DeadConnectionUsed("the connection is closed");
  if (error.code === "CANCELLED") return error;
  return new DeadConnectionUsed(`the connection is dead: ${error.message}`, { cause: error });
}

function errorOfCode(code: Code, message: string): TinyMQError {
  if (code === "RESOURCE_EXHAUSTED") return new QueueFull(message);
  if (code === "OUT_OF_RANGE") return new MessageTooLarge(message);
  if (code === "UNAUTHENTICATED") return new Unauthenticated(message);
  return new TinyMQError(code, message);
}
