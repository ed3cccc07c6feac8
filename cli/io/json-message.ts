/** Messages as lines of JSON: what `consume --json` and `tail --json` write and `produce --json` reads. */
import { TinyMQError } from "../../src/errors.ts";
import type { OutgoingMessage } from "../../src/index.ts";

const NEWLINE = 0x0a;
const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const encoder = new TextEncoder();

/** What is printed of a message; a subscriber's have neither `offset` nor `redelivered`. */
export interface PrintedMessage {
  id: number;
  body: Uint8Array;
  headers: Readonly<Record<string, string>>;
  offset?: number;
  redelivered?: boolean;
}

/** The body and a newline. */
export function bodyLine({ body }: PrintedMessage): Uint8Array {
  const line = new Uint8Array(body.length + 1);
  line.set(body);
  line[body.length] = NEWLINE;
  return line;
}

/** One line of JSON. */
export function jsonLine({ id, body, headers, offset, redelivered }: PrintedMessage): Uint8Array {
  return encoder.encode(`${JSON.stringify({ id, ...bodyFields(body), headers, offset, redelivered })}\n`);
}

/** A body as JSON: text where it is UTF-8, base64 where it is not. */
function bodyFields(body: Uint8Array): { body: string } | { bodyBase64: string } {
  try {
    return { body: utf8.decode(body) };
  } catch {
    return { bodyBase64: Buffer.from(body.buffer, body.byteOffset, body.length).toString("base64") };
  }
}

/**
 * The message of a line of JSON. Fields that no producer sets (offset, redelivered) are ignored.
 * Throws INVALID_ARGUMENT saying what is wrong with the line.
 */
export function parseMessage(line: Uint8Array): OutgoingMessage<Uint8Array> {
  const fields = parseObject(line);
  const { id, headers } = fields;
  const message: OutgoingMessage<Uint8Array> = { body: bodyOf(fields) };
  if (id !== undefined) {
    if (!Number.isSafeInteger(id) || Number(id) < 0)
      throw wrong("its id is not a whole number from 0 to 2^53-1");
    message.id = Number(id);
  }
  if (headers !== undefined) {
    if (!isObject(headers) || !Object.values(headers).every((value) => typeof value === "string")) {
      throw wrong("its headers are not an object of strings");
    }
    message.headers = headers as Record<string, string>;
  }
  return message;
}

function parseObject(line: Uint8Array): Record<string, unknown> {
  let parsed: unknown;
  try {
    parsed = JSON.parse(utf8.decode(line));
  } catch (error) {
    throw wrong("it is not JSON", error);
  }
  if (!isObject(parsed)) throw wrong("it is not a JSON object");
  return parsed;
}

function bodyOf({ body, bodyBase64 }: Record<string, unknown>): Uint8Array {
  if (typeof body === "string" && bodyBase64 === undefined) return encoder.encode(body);
  if (typeof bodyBase64 === "string" && body === undefined) {
    if (/^(?:[\w+/-]{4})*(?:[\w+/-]{2}(?:==)?|[\w+/-]{3}=?)?$/.test(bodyBase64))
      return Buffer.from(bodyBase64, "base64");
    throw wrong("its bodyBase64 is not base64");
  }
  throw wrong("it needs a string as body (or bodyBase64)");
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function wrong(why: string, cause?: unknown): TinyMQError {
  return new TinyMQError("INVALID_ARGUMENT", why, { cause });
}
