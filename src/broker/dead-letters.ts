/**
 * Dead letters: messages that were rejected or delivered too often, kept in the topic `<topic>.dead` with
 * headers that tell from where, why, when, and after how many deliveries. Bodies are never decoded: a
 * header is a field of the encoded message, and fields may stand in any order.
 */

import { concatBytes } from "../wire/bytes.ts";
import { encodeHeaders } from "../wire/headers.ts";
import { MAX_REASON_BYTES } from "../wire/limits.ts";
import { ENTRY_TAG, eachField, entryEnd, messageStart } from "../wire/scan.ts";
import { truncateUtf8 } from "../wire/text.ts";
import { varintLength, writeVarint } from "../wire/varint.ts";

const TOPIC = "tinymq-dead-topic";
const REASON = "tinymq-dead-reason";
const TIME = "tinymq-dead-time";
const DELIVERIES = "tinymq-dead-deliveries";
/** These are ours; a program's own headers, however they are called, stay. */
const OURS: ReadonlySet<string> = new Set([TOPIC, REASON, TIME, DELIVERIES]);
const LONGEST_OURS = Math.max(...[...OURS].map(({ length }) => length));
const HEADERS_TAG = 0x1a;
const KEY_TAG = 0x0a;
const utf8 = new TextDecoder();

/** How messages died. */
export interface Death {
  readonly topic: string;
  readonly reason: string;
  /** ms since 1970. */
  readonly time: number;
  readonly deliveries: number;
}

/** Checked messages as dead letters: a copy of `parts`, with headers that tell how they died. */
export function withDeathHeaders(parts: readonly Uint8Array[], death: Death): Uint8Array {
  const headers = encodeHeaders({
    [TOPIC]: death.topic,
    [REASON]: truncateUtf8(death.reason, MAX_REASON_BYTES),
    [TIME]: new Date(death.time).toISOString(),
    [DELIVERIES]: String(death.deliveries),
  });
  return rewrite(concatBytes(parts), headers);
}

/** The messages of a checked batch as they were before they died. */
export function withoutDeathHeaders(batch: Uint8Array): Uint8Array {
  return rewrite(batch, new Uint8Array(0));
}

/** The batch with each message's dead-letter headers replaced by `headers`, encoded fields. */
function rewrite(batch: Uint8Array, headers: Uint8Array): Uint8Array {
  const messages: Uint8Array[] = [];
  for (let at = 0; at < batch.length; ) {
    const end = entryEnd(batch, at);
    const fields: Uint8Array[] = [];
    eachField(batch, messageStart(batch, at), end, (tag, valueStart, fieldStart, fieldEnd) => {
      if (tag === HEADERS_TAG && isDeadLetterHeader(batch, valueStart, fieldEnd)) return;
      fields.push(batch.subarray(fieldStart, fieldEnd));
    });
    fields.push(headers);
    messages.push(entry(concatBytes(fields)));
    at = end;
  }
  return concatBytes(messages);
}

/** A message as the entry of a batch. */
function entry(message: Uint8Array): Uint8Array {
  const start = 1 + varintLength(message.length);
  const bytes = new Uint8Array(start + message.length);
  bytes[0] = ENTRY_TAG;
  writeVarint(bytes, 1, message.length);
  bytes.set(message, start);
  return bytes;
}

function isDeadLetterHeader(batch: Uint8Array, valueStart: number, fieldEnd: number): boolean {
  // valueStart is at the header's length. Every known encoder writes the key first.
  let at = valueStart;
  while (batch[at]! >= 0x80) at += 1;
  at += 1;
  if (batch[at] !== KEY_TAG) return false;
  const keyLength = batch[at + 1]!;
  if (keyLength > LONGEST_OURS || at + 2 + keyLength > fieldEnd) return false;
  return OURS.has(utf8.decode(batch.subarray(at + 2, at + 2 + keyLength)));
}
