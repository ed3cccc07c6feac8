/** Chooses the RPC that serves a stream, by the paths of the generated service. */
import type { ServiceType } from "@protobuf-ts/runtime-rpc";
import { TinyMQError } from "../errors.ts";
import type { ITinyMQClient } from "../gen/tinymq/v1/queue.client.ts";
import { TinyMQ } from "../gen/tinymq/v1/queue.ts";
import { openConsume } from "./consume.ts";
import type { OpenSession } from "./frame-socket.ts";
import { openProduce } from "./produce.ts";
import { type OpenRpc, StreamSession } from "./stream-session.ts";
import { openSubscribe } from "./subscribe.ts";

/** One for each method of the service; a missing one is a type error. */
const RPCS: { readonly [Method in keyof ITinyMQClient]: OpenRpc } = {
  produce: openProduce,
  consume: openConsume,
  subscribe: openSubscribe,
};

const BY_PATH = new Map<string, OpenRpc>(
  TinyMQ.methods.map((method) => [
    pathOf(TinyMQ, method.name),
    RPCS[method.localName as keyof ITinyMQClient],
  ]),
);

/** The path of a method's streams: `/package.Service/Method`. */
export function pathOf(service: ServiceType, method: string): string {
  return `/${service.typeName}/${method}`;
}

/** Creates the session of a v1 connection. */
export const streamSession: OpenSession = (path, socket, context) => {
  const open = BY_PATH.get(path);
  if (open === undefined) throw new TinyMQError("UNIMPLEMENTED", `there is no method at ${path}`);
  return new StreamSession(socket, context, open);
};
