/** Which session serves a connection: dispatch on the generated service, so that a method is named once. */
import type { ServiceType } from "@protobuf-ts/runtime-rpc";
import { TinyMQError } from "../errors.ts";
import type { ITinyMQClient } from "../gen/tinymq/v1/queue.client.ts";
import { TinyMQ } from "../gen/tinymq/v1/queue.ts";
import { openConsume } from "./consume.ts";
import type { SessionContext } from "./context.ts";
import type { FrameSocket, Session } from "./frame-socket.ts";
import { openProduce } from "./produce.ts";
import { type OpenRpc, StreamSession } from "./stream-session.ts";
import { openSubscribe } from "./subscribe.ts";
import { FirstVersionSession } from "./v0.ts";

/** One for each method of the service: the type makes a missing one an error. */
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

/** The session of a v1 connection. Throws UNIMPLEMENTED where no method has this path. */
export function streamSession(path: string, socket: FrameSocket, context: SessionContext): Session {
  const open = BY_PATH.get(path);
  if (open === undefined) throw new TinyMQError("UNIMPLEMENTED", `there is no method at ${path}`);
  return new StreamSession(socket, context, open);
}

/** The session of a connection without a subprotocol. */
export function firstVersionSession(path: string, socket: FrameSocket, context: SessionContext): Session {
  return new FirstVersionSession(socket, context, path.slice(1));
}
