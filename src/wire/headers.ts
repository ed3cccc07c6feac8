/** Encodes headers as fields of a message, to be appended to its other fields. */
import { Message } from "../gen/tinymq/v1/queue.ts";

export function encodeHeaders(headers: Record<string, string>): Uint8Array {
  return Message.toBinary({ id: 0, body: new Uint8Array(0), headers });
}
