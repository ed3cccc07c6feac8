/** Encodes and decodes frames with the generated code. The hot path has wire/encode.ts and wire/frames.ts. */
import {
  BinaryReader,
  type BinaryReadOptions,
  type BinaryWriteOptions,
  BinaryWriter,
  type IMessageType,
} from "@protobuf-ts/runtime";
import { messageOf, TinyMQError } from "../errors.ts";

const utf8Reader = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const utf8Writer = new TextEncoder();

type BinaryOptions = BinaryReadOptions & BinaryWriteOptions;

/** Unknown fields are dropped. Text coders are shared: protobuf-ts would create one for every frame. */
export const FRAME_OPTIONS: BinaryOptions = {
  readUnknownField: false,
  writeUnknownFields: false,
  readerFactory: (bytes) => new BinaryReader(bytes, utf8Reader),
  writerFactory: () => new BinaryWriter(utf8Writer),
};

/** Encodes one message as a frame. */
export function encodeFrame<T extends object>(
  type: IMessageType<T>,
  message: T,
  options: BinaryOptions = FRAME_OPTIONS,
): Uint8Array<ArrayBuffer> {
  return type.toBinary(message, options) as Uint8Array<ArrayBuffer>;
}

/** Decodes the message of a frame. Throws DATA_LOSS if it is malformed. */
export function decodeFrame<T extends object>(
  type: IMessageType<T>,
  frame: Uint8Array,
  options: BinaryOptions = FRAME_OPTIONS,
): T {
  try {
    return type.fromBinary(frame, options);
  } catch (thrown) {
    const cause = messageOf(thrown);
    throw new TinyMQError("DATA_LOSS", `the server sent a malformed frame: ${cause}`, { cause: thrown });
  }
}
