/** The Admin service over Twirp: JSON or protobuf, `POST /twirp/tinymq.v1.Admin/<Method>`. */
import type { MethodInfo } from "@protobuf-ts/runtime-rpc";
import type { Broker } from "../broker/broker.ts";
import { purge } from "../broker/purge.ts";
import { redrive } from "../broker/redrive.ts";
import { brokerStats, listTopics, topicInfo } from "../broker/stats.ts";
import { messageOf, TinyMQError, toTinyMQError } from "../errors.ts";
import type { IAdminClient } from "../gen/tinymq/v1/admin.client.ts";
import {
  Admin,
  type GetStatusResponse,
  type GetTopicRequest,
  type ListTopicsRequest,
  type ListTopicsResponse,
  type PurgeTopicRequest,
  type RedriveTopicRequest,
} from "../gen/tinymq/v1/admin.ts";
import { type Action, type Principal, requireRight } from "../session/principal.ts";
import { TWIRP_PREFIX, twirpError } from "./twirp-error.ts";
import { VERSION } from "./version.ts";

const MAX_TOPICS_A_PAGE = 1_000;

/** What the service needs of the server. */
export interface AdminHost {
  readonly broker: Broker;
  readonly connections: number;
  readonly uptimeMs: number;
  /** Logs an unexpected error, with its stack. */
  failed(what: string, error: unknown): void;
  /** The body of a call. Throws OUT_OF_RANGE above 1 MiB, and other codes if it does not arrive. */
  body(request: Request): Promise<Uint8Array>;
}

interface Method {
  /** The right that a client needs, on the request's topic if it names one. */
  readonly action: Action;
  readonly handle: (host: AdminHost, request: never) => object | Promise<object>;
}

/** One for each method of the service; a missing one is a type error. */
const METHODS: { readonly [Name in keyof IAdminClient]: Method } = {
  getStatus: { action: "observe", handle: getStatus },
  listTopics: { action: "observe", handle: listPage },
  getTopic: {
    action: "observe",
    handle: ({ broker }, { topic }: GetTopicRequest) => topicInfo(broker.requireTopic(topic)),
  },
  purgeTopic: {
    action: "admin",
    handle: async ({ broker }, { topic }: PurgeTopicRequest) => ({
      purged: await purge(broker.requireTopic(topic)),
    }),
  },
  redriveTopic: {
    action: "admin",
    handle: async ({ broker }, { topic, limit }: RedriveTopicRequest) => ({
      moved: await redrive(broker, topic, limit === 0 ? Number.POSITIVE_INFINITY : limit),
    }),
  },
};

/** Answers one unary call. Never throws. */
export async function handleTwirp(
  host: AdminHost,
  principal: Principal,
  request: Request,
  path: string,
): Promise<Response> {
  try {
    const method = methodAt(path);
    if (request.method !== "POST") {
      throw new TinyMQError("UNIMPLEMENTED", `send unary calls as POST, not ${request.method}`);
    }
    const type = (request.headers.get("content-type") ?? "").split(";")[0]!.trim();
    if (type !== "application/json" && type !== "application/protobuf") {
      throw new TinyMQError(
        "INVALID_ARGUMENT",
        "Content-Type must be application/json or application/protobuf",
      );
    }
    const input = decode(method, type, await host.body(request));
    const { action, handle } = METHODS[method.localName as keyof IAdminClient];
    requireRight(principal, action, "topic" in input ? String(input.topic) : "");
    const output = await handle(host, input as never);
    return type === "application/json"
      ? Response.json(method.O.toJson(output, { emitDefaultValues: true }))
      : new Response(method.O.toBinary(output) as Uint8Array<ArrayBuffer>, {
          headers: { "Content-Type": type },
        });
  } catch (thrown) {
    return twirpError(told(host, path, thrown));
  }
}

/** The error for the client. Details of an unexpected one go to the log only. */
function told(host: AdminHost, path: string, thrown: unknown): TinyMQError {
  const error = toTinyMQError(thrown);
  if (error.code !== "INTERNAL") return error;
  host.failed(`${path} failed`, thrown);
  return new TinyMQError("INTERNAL", "unexpected error; the server's log has the stack trace");
}

function methodAt(path: string): MethodInfo<object, object> {
  const method = Admin.methods.find((each) => path === `${TWIRP_PREFIX}${Admin.typeName}/${each.name}`);
  if (method === undefined) throw new TinyMQError("NOT_FOUND", `there is no method at ${path}`);
  return method;
}

function decode(method: MethodInfo<object, object>, type: string, body: Uint8Array): object {
  try {
    if (type === "application/protobuf") return method.I.fromBinary(body, { readUnknownField: false });
    const text = new TextDecoder("utf-8", { fatal: true }).decode(body);
    return method.I.fromJson(text.trim() === "" ? {} : JSON.parse(text), { ignoreUnknownFields: false });
  } catch (cause) {
    const why = messageOf(cause);
    throw new TinyMQError("INVALID_ARGUMENT", `the body is not a valid ${method.I.typeName}: ${why}`, {
      cause,
    });
  }
}

function getStatus(host: AdminHost): GetStatusResponse {
  return {
    ...brokerStats(host.broker),
    version: VERSION,
    pid: process.pid,
    uptimeMs: Math.round(host.uptimeMs),
    connections: host.connections,
    resident: process.memoryUsage.rss(),
    // Where messages are kept.
    engine: "memory",
  };
}

function listPage({ broker }: AdminHost, { prefix, after, limit }: ListTopicsRequest): ListTopicsResponse {
  const most = limit === 0 ? MAX_TOPICS_A_PAGE : Math.min(limit, MAX_TOPICS_A_PAGE);
  return listTopics(broker, { prefix, after, limit: most });
}
