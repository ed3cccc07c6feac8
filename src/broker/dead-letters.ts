/**
 * Dead letters: messages that were rejected or delivered too often, kept in the topic `<topic>.dead` with
 * headers that tell from where, why, when, and after how many deliveries. Bodies are never decoded: a
 * header is a field of the encoded message, and fields may stand in any order.
 */

import { concatBytes } from "../wire/bytes.ts";
import { truncateUtf8 } from "../wire/close.ts";
import { encodeHeaders } from "../wire/headers.ts";
import { MAX_REASON_BYTES } from "../wire/limits.ts";
import { chain, type MaybePromise } from "../wire/maybe-promise.ts";
import { ENTRY_TAG, eachField, entryEnd, messageStart } from "../wire/scan.ts";
import { DEAD_LETTER_SUFFIX } from "../wire/topic-name.ts";
import { varintLength, writeVarint } from "../wire/varint.ts";
import type { TopicView } from "./host.ts";

const PREFIX = "tinymq-dead-";
const HEADERS_TAG = 0x1a;
const KEY_TAG = 0x0a;
const utf8 = new TextDecoder();

/** Copies leased messages to the dead-letter topic of `topic`. */
export function deadLetters(
  topic: TopicView,
  firstOffset: number,
  count: number,
  deliveries: number,
  reason: string,
): MaybePromise<void> {
  const { host } = topic;
  const headers = encodeHeaders({
    [`${PREFIX}topic`]: topic.name,
    [`${PREFIX}reason`]: truncateUtf8(reason, MAX_REASON_BYTES),
    [`${PREFIX}time`]: new Date(host.clock.wall()).toISOString(),
    [`${PREFIX}deliveries`]: String(deliveries),
  });
  return chain(host.topicForDeadLetters(topic.name + DEAD_LETTER_SUFFIX), (dead) => {
    const end = firstOffset + count;
    const moveFrom = (from: number): MaybePromise<void> =>
      chain(topic.log.read(from, count, Number.MAX_SAFE_INTEGER, end), (chunk) => {
        if (chunk === null) return;
        const { nextOffset } = chunk;
        const batch = rewrite(concatBytes(chunk.parts), headers);
        // No room is asked for: a dead letter takes the place of a message that was charged.
        return chain(dead.store(batch, chunk.count, 0), () => {
          dead.count("produced", chunk.count);
          dead.publish(batch, chunk.count);
          dead.dispatcher.pump();
          return nextOffset < end ? moveFrom(nextOffset) : undefined;
        });
      });
    return moveFrom(firstOffset);
  });
}

/** The messages of a checked batch as they were before they died. */
export function revive(batch: Uint8Array): Uint8Array {
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
  // valueStart is at the entry's length; its first field is the key with every encoder there is.
  let at = valueStart;
  while (batch[at]! >= 0x80) at += 1;
  at += 1;
  if (batch[at] !== KEY_TAG) return false;
  const keyLength = batch[at + 1]!;
  if (keyLength < PREFIX.length || keyLength >= 0x80 || at + 2 + keyLength > fieldEnd) return false;
  return utf8.decode(batch.subarray(at + 2, at + 2 + PREFIX.length)) === PREFIX;
}
