/**
 * Messages to frames and back, by the generated code. Those of the hot path are in wire/encode.ts and
 * frames.ts.
 */
import {
  BinaryReader,
  type BinaryReadOptions,
  type BinaryWriteOptions,
  BinaryWriter,
  type IMessageType,
} from "@protobuf-ts/runtime";
import { TinyMQError } from "../errors.ts";

const utf8Reader = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const utf8Writer = new TextEncoder();

type BinaryOptions = BinaryReadOptions & BinaryWriteOptions;

/**
 * protobuf-ts would make a new text coder for every frame. Fields that this version does not know are
 * dropped.
 */
export const FRAME_OPTIONS: BinaryOptions = {
  readUnknownField: false,
  writeUnknownFields: false,
  readerFactory: (bytes) => new BinaryReader(bytes, utf8Reader),
  writerFactory: () => new BinaryWriter(utf8Writer),
};

/** The frame that holds one message. */
export function encodeFrame<T extends object>(
  type: IMessageType<T>,
  message: T,
  options: BinaryOptions = FRAME_OPTIONS,
): Uint8Array<ArrayBuffer> {
  return type.toBinary(message, options) as Uint8Array<ArrayBuffer>;
}

/** The message that a frame holds. Throws DATA_LOSS for a malformed one. */
export function decodeFrame<T extends object>(
  type: IMessageType<T>,
  frame: Uint8Array,
  options: BinaryOptions = FRAME_OPTIONS,
): T {
  try {
    return type.fromBinary(frame, options);
  } catch (thrown) {
    const cause = thrown instanceof Error ? thrown.message : String(thrown);
    throw new TinyMQError("DATA_LOSS", `the server sent a malformed frame: ${cause}`, { cause: thrown });
  }
}
