/**
 * The closed set of error codes and the family of error classes, for client and server.
 *
 * Codes are gRPC's names. On the wire, a code's number appears in `rejected` answers, and as close code
 * 4000 + number. Always holds: everything tinyMQ throws on purpose is a `TinyMQError`.
 */

/** gRPC's status codes (source: the gRPC documentation, "Status codes and their use in gRPC"). */
export const CODE_NUMBERS = {
  CANCELLED: 1,
  UNKNOWN: 2,
  INVALID_ARGUMENT: 3,
  DEADLINE_EXCEEDED: 4,
  NOT_FOUND: 5,
  ALREADY_EXISTS: 6,
  PERMISSION_DENIED: 7,
  RESOURCE_EXHAUSTED: 8,
  FAILED_PRECONDITION: 9,
  ABORTED: 10,
  OUT_OF_RANGE: 11,
  UNIMPLEMENTED: 12,
  INTERNAL: 13,
  UNAVAILABLE: 14,
  DATA_LOSS: 15,
  UNAUTHENTICATED: 16,
} as const;

export type Code = keyof typeof CODE_NUMBERS;

const CODE_NAMES = new Map<number, Code>(
  Object.entries(CODE_NUMBERS).map(([name, number]) => [number, name as Code]),
);

/** The code of a gRPC status number; "UNKNOWN" for a number that gRPC does not define. */
export function codeFromNumber(number: number): Code {
  return CODE_NAMES.get(number) ?? "UNKNOWN";
}

/** Every error that tinyMQ throws on purpose: `code` classifies it, `message` says what happened and what to do. */
export class TinyMQError extends Error {
  /** Set explicitly, since bundlers rename classes. */
  override name = "TinyMQError";
  readonly code: Code;

  constructor(code: Code, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/** Could not connect: no server listens at that address, or it refused the handshake. UNAVAILABLE. */
export class ConnectionRefusedError extends TinyMQError {
  override name = "ConnectionRefusedError";
  constructor(message: string, options?: ErrorOptions) {
    super("UNAVAILABLE", message, options);
  }
}

/** The stream was not opened: refused (FAILED_PRECONDITION: the topic has a consumer), or late (UNAVAILABLE). */
export class InitFailed extends TinyMQError {
  override name = "InitFailed";
  constructor(message: string, options?: ErrorOptions & { code?: Code }) {
    super(options?.code ?? "FAILED_PRECONDITION", message, options);
  }
}

/** The connection was used before `initConn()`, or after it was closed or lost; `cause` is why. UNAVAILABLE. */
export class DeadConnectionUsed extends TinyMQError {
  override name = "DeadConnectionUsed";
  constructor(message: string, options?: ErrorOptions & { code?: Code }) {
    super(options?.code ?? "UNAVAILABLE", message, options);
  }
}

/** The server answered a batch that was not in flight, or out of order: a fault of the server. INTERNAL. */
export class WrongAck extends TinyMQError {
  override name = "WrongAck";
  constructor(message: string, options?: ErrorOptions) {
    super("INTERNAL", message, options);
  }
}

/** No room for the message: in memory, in the topic's share, or in the table of unique ids. RESOURCE_EXHAUSTED. */
export class QueueFull extends TinyMQError {
  override name = "QueueFull";
  /** How the message begins if an empty queue has no room for it either: waiting does not help. */
  static readonly NEVER_FITS = "too large:";
  constructor(message: string, options?: ErrorOptions) {
    super("RESOURCE_EXHAUSTED", message, options);
  }
}

/** The producer holds `maxUnacknowledged` bytes: await earlier sends. RESOURCE_EXHAUSTED. */
export class SendBufferFull extends TinyMQError {
  override name = "SendBufferFull";
  constructor(message: string, options?: ErrorOptions) {
    super("RESOURCE_EXHAUSTED", message, options);
  }
}

/** The message, body and headers as encoded, is larger than the server's `max-message-size`. OUT_OF_RANGE. */
export class MessageTooLarge extends TinyMQError {
  override name = "MessageTooLarge";
  constructor(message: string, options?: ErrorOptions) {
    super("OUT_OF_RANGE", message, options);
  }
}

/** The token is missing or wrong. UNAUTHENTICATED. */
export class Unauthenticated extends TinyMQError {
  override name = "Unauthenticated";
  constructor(message: string, options?: ErrorOptions) {
    super("UNAUTHENTICATED", message, options);
  }
}

/** The topic name is empty, too long, malformed Unicode, or has a control character. INVALID_ARGUMENT. */
export class InvalidTopic extends TinyMQError {
  override name = "InvalidTopic";
  constructor(message: string, options?: ErrorOptions) {
    super("INVALID_ARGUMENT", message, options);
  }
}

/** The server did not confirm that a message was stored, or settled: it may or may not have been. UNKNOWN. */
export class OutcomeUnknown extends TinyMQError {
  override name = "OutcomeUnknown";
  constructor(message: string, options?: ErrorOptions) {
    super("UNKNOWN", message, options);
  }
}

/** What a thrown value says, whatever it is. */
export function messageOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown);
}

/** Converts any thrown value to a `TinyMQError`; the original becomes its `cause`. */
export function toTinyMQError(thrown: unknown): TinyMQError {
  if (thrown instanceof TinyMQError) return thrown;
  return new TinyMQError("INTERNAL", messageOf(thrown), { cause: thrown });
}
