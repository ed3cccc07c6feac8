/** docs/protocol-vectors.json, typed. */
import type { IMessageType, JsonValue } from "@protobuf-ts/runtime";
import vectors from "../../docs/protocol-vectors.json" with { type: "json" };
import * as v0 from "../../src/gen/tinymq/v0/message.ts";
import * as v1 from "../../src/gen/tinymq/v1/queue.ts";
import type { ServerOptions } from "../../src/server/index.ts";

export interface FrameVector {
  readonly name: string;
  readonly wire: "v0" | "v1";
  readonly direction: "client" | "server";
  readonly type: string;
  readonly hex: string;
  readonly json: JsonValue;
  /** False: to be decoded, but not what an encoder writes. */
  readonly plain?: boolean;
}

export interface BatchVector {
  readonly name: string;
  readonly hex: string;
  readonly messages: readonly {
    readonly id: string;
    readonly body: string;
    readonly headers?: Readonly<Record<string, string>>;
  }[];
  readonly plain?: boolean;
}

export interface RefusedVector {
  readonly name: string;
  readonly path: string;
  readonly wire: "v0" | "v1";
  readonly before: readonly string[];
  readonly hex: string;
  readonly close: number;
  readonly options?: ServerOptions;
}

/** One step of a conversation: one of these, of `stream` where it is one stream's. */
export interface Step {
  readonly stream?: string;
  readonly connect?: string;
  readonly protocol?: string;
  readonly send?: string;
  readonly sendLike?: string;
  readonly receive?: string;
  readonly receiveLike?: string;
  readonly settled?: string;
  readonly json?: JsonValue;
  readonly close?: number;
  readonly closed?: number;
  readonly cut?: boolean;
  /** ms. */
  readonly wait?: number;
  readonly restart?: boolean;
}

export interface ConversationVector {
  readonly name: string;
  readonly options?: ServerOptions;
  readonly steps: readonly Step[];
}

export const { frames, batches, refused, conversations } = vectors as unknown as {
  readonly frames: readonly FrameVector[];
  readonly batches: readonly BatchVector[];
  readonly refused: readonly RefusedVector[];
  readonly conversations: readonly ConversationVector[];
};

/** Every message that is a frame of its own, by its full name. */
export const FRAME_TYPES: ReadonlyMap<string, IMessageType<object>> = new Map(
  [
    v1.ProduceRequest,
    v1.ProduceResponse,
    v1.ConsumeRequest,
    v1.ConsumeResponse,
    v1.SubscribeRequest,
    v1.SubscribeResponse,
    v0.ConnInit,
    v0.ConnStatus,
    v0.ContentWrite,
    v0.ContentRead,
    v0.Poll,
    v0.Ack,
  ].map((type) => [type.typeName, type as unknown as IMessageType<object>]),
);

/** The generated code of a frame's type. */
export function typeNamed(name: string): IMessageType<object> {
  const type = FRAME_TYPES.get(name);
  if (type === undefined) throw new Error(`no frame has type ${name}`);
  return type;
}

/** The message that a vector's JSON tells of. protobuf-ts refuses fixed32 above 2^31-1 in JSON, so v0's are made by hand. */
export function messageOf({ type, wire, json }: FrameVector): object {
  if (wire === "v1") return typeNamed(type).fromJson(json);
  const { body, ...fields } = json as Record<string, JsonValue>;
  return typeNamed(type).create(
    body === undefined ? fields : { ...fields, body: new Uint8Array(Buffer.from(String(body), "base64")) },
  );
}
