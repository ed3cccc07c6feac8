/** Codecs: what a program's bodies are, and how they become bytes and bodies again. */
import type { IMessageType } from "@protobuf-ts/runtime";
import { TinyMQError } from "../errors.ts";

/** A received body, as a codec sees it. */
export interface EncodedBody {
  /** The bytes: a view that the codec MUST NOT keep, but may copy. */
  bytes(): Uint8Array;
  /** The bytes, which the codec may keep: what the `bytes` codec returns. */
  copy(): Uint8Array;
  /** The bytes as UTF-8; what is not UTF-8 becomes U+FFFD. */
  text(): string;
}

/** Turns bodies of one type into text or bytes. May throw: `send()` then rejects with INVALID_ARGUMENT. */
export interface Encoder<In> {
  encode(body: In): string | Uint8Array;
}

/**
 * Turns received bodies into values of one type. May throw: a consumed message then goes to the dead-letter topic, a
 * subscriber's counts as missed, and `onInvalid` is called.
 */
export interface Decoder<Out> {
  decode(body: EncodedBody): Out;
}

/** Both directions. `In` is what a producer sends, `Out` what a consumer or subscriber gets. */
export interface Codec<In, Out = In> extends Encoder<In>, Decoder<Out> {}

/** Bodies are strings, as UTF-8. A lone surrogate becomes U+FFFD. */
export const text: Codec<string> = {
  encode(body) {
    if (typeof body !== "string") throw wrongBody("the text codec", "a string", body);
    return body;
  },
  decode: (body) => body.text(),
};

/**
 * Bodies are bytes. A received body may be kept and changed, but `body.buffer` may be larger than the body,
 * as with Node's `Buffer`: mind `body.byteOffset`, and transfer `body.slice()`. (In Node and browsers
 * bodies below 4 KiB share buffers of 8 KiB; one from 32 KiB may stay in the frame that it came in.)
 */
export const bytes: Codec<Uint8Array> = {
  encode(body) {
    if (!(body instanceof Uint8Array)) throw wrongBody("the bytes codec", "a Uint8Array", body);
    return body;
  },
  decode: (body) => body.copy(),
};

/** A validator such as Zod's, Valibot's or ArkType's (source: standardschema.dev, version 1). */
export interface StandardSchema<In = unknown, Out = In> {
  readonly "~standard": {
    readonly version: 1;
    readonly vendor: string;
    readonly validate: (value: unknown) => SchemaResult<Out> | Promise<SchemaResult<Out>>;
    readonly types?: { readonly input: In; readonly output: Out } | undefined;
  };
}

type SchemaResult<Out> =
  | { readonly value: Out; readonly issues?: undefined }
  | { readonly issues: readonly SchemaIssue[] };

interface SchemaIssue {
  readonly message: string;
  readonly path?: readonly (PropertyKey | { readonly key: PropertyKey })[] | undefined;
}

/**
 * Bodies are JSON. With a Standard Schema (Zod, Valibot, ArkType …) both ends check them: the producer sends the value
 * as it is given, the consumer gets the schema's output. Validators must be synchronous. Without one the type is
 * believed, not checked: `json<Order>()`.
 */
export function json<In = unknown, Out = In>(schema?: StandardSchema<In, Out>): Codec<In, Out> {
  return {
    encode(body) {
      if (schema !== undefined) validate(schema, body);
      const encoded = JSON.stringify(body);
      if (encoded === undefined) throw wrongBody("the json codec", "a value that JSON can hold", body);
      return encoded;
    },
    decode(body) {
      const value: unknown = JSON.parse(body.text());
      return schema === undefined ? (value as Out) : validate(schema, value);
    },
  };
}

/** Bodies are messages of a type that protobuf-ts generated. */
export function protobuf<T extends object>(type: IMessageType<T>): Codec<T> {
  return {
    encode(body) {
      if (typeof body !== "object" || body === null)
        throw wrongBody("the protobuf codec", type.typeName, body);
      return type.toBinary(body);
    },
    // Bytes fields of the message are views, so it gets a copy that nobody else has.
    decode: (body) => type.fromBinary(body.copy()),
  };
}

function validate<Out>(schema: StandardSchema<unknown, Out>, value: unknown): Out {
  const result = schema["~standard"].validate(value);
  if (result instanceof Promise) {
    // Nobody awaits it: its rejection must not count as unhandled.
    result.catch(() => {});
    throw new TinyMQError(
      "INVALID_ARGUMENT",
      "the schema validates asynchronously; tinyMQ needs a synchronous one",
    );
  }
  if (result.issues === undefined) return result.value;
  throw new TinyMQError(
    "INVALID_ARGUMENT",
    `the body is not valid: ${result.issues.map(describe).join("; ")}`,
  );
}

function describe(issue: SchemaIssue): string {
  const path = issue.path?.map((part) => String(typeof part === "object" ? part.key : part)).join(".");
  return path ? `${path}: ${issue.message}` : issue.message;
}

function wrongBody(who: string, wanted: string, body: unknown): TinyMQError {
  const got =
    body === null ? "null" : typeof body === "object" ? (body.constructor?.name ?? "object") : typeof body;
  return new TinyMQError("INVALID_ARGUMENT", `${who} takes ${wanted}, not ${got}`);
}
