/** Decodes frames, and makes the checks that several of them have in common. */
import type { IMessageType } from "@protobuf-ts/runtime";
import { messageOf, TinyMQError } from "../errors.ts";
import { hasMoreFields } from "../wire/field-count.ts";
import { MAX_FRAME_FIELDS } from "../wire/limits.ts";
import type { SessionContext } from "./context.ts";
import { type Action, requireRight } from "./principal.ts";

const ID_BYTES = 16;

/** Decodes a frame. Throws INVALID_ARGUMENT if it is malformed, RESOURCE_EXHAUSTED if that would take long. */
export function decodeFrame<T extends object>(type: IMessageType<T>, frame: Uint8Array): T {
  // A field has at least two bytes.
  if (frame.length > 2 * MAX_FRAME_FIELDS && hasMoreFields(frame, MAX_FRAME_FIELDS)) {
    throw new TinyMQError(
      "RESOURCE_EXHAUSTED",
      `a frame with more than ${MAX_FRAME_FIELDS} fields: settle some in a frame of their own`,
    );
  }
  try {
    return type.fromBinary(frame, { readUnknownField: false });
  } catch (cause) {
    const why = messageOf(cause);
    throw new TinyMQError("INVALID_ARGUMENT", `the frame is not a valid ${type.typeName}: ${why}`, { cause });
  }
}

/** The open frame that a stream must begin with. Throws INVALID_ARGUMENT for any other frame. */
export function requireOpen<Open>(kind: {
  readonly oneofKind: string | undefined;
  readonly open?: Open;
}): Open {
  if (kind.open !== undefined) return kind.open;
  throw new TinyMQError("INVALID_ARGUMENT", "the first frame is not an open frame");
}

/** Throws UNAUTHENTICATED if the token is missing or wrong, PERMISSION_DENIED if it does not grant `action`. */
export function authorize(context: SessionContext, token: string, action: Action, topic: string): void {
  const principal = context.authenticate(token);
  if (principal === null) {
    throw new TinyMQError(
      "UNAUTHENTICATED",
      token === "" ? "this server requires a token" : "the token is wrong",
    );
  }
  requireRight(principal, action, topic);
}

/** A producer's or consumer's id; empty: none. Throws INVALID_ARGUMENT for any other length. */
export function requireId(id: Uint8Array, what: string): Uint8Array {
  if (id.length === 0 || id.length === ID_BYTES) return id;
  throw new TinyMQError(
    "INVALID_ARGUMENT",
    `${what} has ${id.length} bytes: send ${ID_BYTES} random bytes, or none`,
  );
}

/** Throws INVALID_ARGUMENT unless `value` is a whole number from 0 to 2^53-1. */
export function requireCount(value: number, what: string): number {
  if (Number.isSafeInteger(value) && value >= 0) return value;
  throw new TinyMQError("INVALID_ARGUMENT", `${what} is not an integer from 0 to 2^53-1`);
}
