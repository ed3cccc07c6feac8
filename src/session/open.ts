/** What frames are checked for: their type, who sent them, and their ids and numbers. */
import type { IMessageType } from "@protobuf-ts/runtime";
import { TinyMQError } from "../errors.ts";
import type { SessionContext } from "./context.ts";
import type { Action } from "./principal.ts";

const ID_BYTES = 16;

/** The message of a frame. Throws INVALID_ARGUMENT where it is none. */
export function decodeFrame<T extends object>(type: IMessageType<T>, frame: Uint8Array): T {
  try {
    return type.fromBinary(frame, { readUnknownField: false });
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new TinyMQError("INVALID_ARGUMENT", `the frame is no ${type.typeName}: ${why}`, { cause });
  }
}

/** Throws UNAUTHENTICATED unless the token is somebody's, PERMISSION_DENIED unless that one may do this. */
export function requireRight(context: SessionContext, token: string, action: Action, topic: string): void {
  const principal = context.authenticate(token);
  if (principal === null) {
    throw new TinyMQError(
      "UNAUTHENTICATED",
      token === "" ? "this server asks for a token: set the option token" : "the token is wrong",
    );
  }
  if (principal.may(action, topic)) return;
  throw new TinyMQError("PERMISSION_DENIED", `this token has no right to ${action} on topic "${topic}"`);
}

/** A producer's or consumer's id, or none. Throws INVALID_ARGUMENT for any other length. */
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
  throw new TinyMQError("INVALID_ARGUMENT", `${what} is not a number from 0 to 2^53-1`);
}
