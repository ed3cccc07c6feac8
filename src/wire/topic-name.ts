/** Which topic names are valid, for client and server. */
import { InvalidTopic } from "../errors.ts";

export const MAX_TOPIC_BYTES = 255;
/** A topic's name plus this suffix is its dead-letter topic. */
export const DEAD_LETTER_SUFFIX = ".dead";

/** The topic that the dead letters in `name` came from; `name` itself if it is not a dead-letter topic. */
export function withoutDeadLetterSuffix(name: string): string {
  return name.endsWith(DEAD_LETTER_SUFFIX) ? name.slice(0, -DEAD_LETTER_SUFFIX.length) : name;
}

const utf8 = new TextEncoder();
// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what it refuses
const CONTROL = /[\u0000-\u001f\u007f-\u009f]/;

/**
 * Throws `InvalidTopic` unless `name` is 1 to 255 bytes of UTF-8 without control characters. A dead-letter
 * topic's name may be longer by its suffix, so that every topic can have one.
 */
export function checkTopicName(name: string): void {
  if (typeof name !== "string" || name.length === 0) {
    throw new InvalidTopic("a topic name must have 1 to 255 bytes");
  }
  const most = name.endsWith(DEAD_LETTER_SUFFIX)
    ? MAX_TOPIC_BYTES + DEAD_LETTER_SUFFIX.length
    : MAX_TOPIC_BYTES;
  const byteLength = name.length * 3 <= MAX_TOPIC_BYTES ? 0 : utf8.encode(name).length;
  if (byteLength > most) {
    throw new InvalidTopic(
      `a topic name may have at most ${MAX_TOPIC_BYTES} bytes of UTF-8, this one has ${byteLength}`,
    );
  }
  if (CONTROL.test(name)) throw new InvalidTopic("a topic name must not contain control characters");
  if (!name.isWellFormed()) {
    throw new InvalidTopic("a topic name must be well-formed Unicode (no lone surrogates)");
  }
}
