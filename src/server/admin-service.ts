/** The Admin service over Twirp: JSON or protobuf, `POST /twirp/tinymq.v1.Admin/<Method>`. */
import type { MethodInfo } from "@protobuf-ts/runtime-rpc";
import type { Broker } from "../broker/broker.ts";
import { redrive } from "../broker/redrive.ts";
import type { Topic } from "../broker/topic.ts";
import { TinyMQError, toTinyMQError } from "../errors.ts";
import type { IAdminClient } from "../gen/tinymq/v1/admin.client.ts";
import {
  Admin,
  type GetStatusResponse,
  type GetTopicRequest,
  type ListTopicsRequest,
  type ListTopicsResponse,
  type PurgeTopicRequest,
  type RedriveTopicRequest,
  type TopicInfo,
} from "../gen/tinymq/v1/admin.ts";
import type { MaybePromise } from "../wire/maybe-promise.ts";
import { TWIRP_PREFIX, twirpError } from "./twirp-error.ts";
import { VERSION } from "./version.ts";

const MAX_BODY_BYTES = 1024 * 1024;
const MOST_TOPICS = 1_000;

/** What the service needs of the server. */
export interface AdminHost {
  readonly broker: Broker;
  readonly connections: number;
  readonly uptimeMs: number;
}

type Handler = (host: AdminHost, request: never) => MaybePromise<object>;

/** One for each method of the service: the type makes a missing one an error. */
const HANDLERS: { readonly [Method in keyof IAdminClient]: Handler } = {
  getStatus,
  listTopics,
  getTopic: (host, request: GetTopicRequest) => topicInfo(host.broker.requireTopic(request.topic)),
  purgeTopic: (host, request: PurgeTopicRequest) => ({
    purged: host.broker.requireTopic(request.topic).purge(),
  }),
  redriveTopic: async (host, request: RedriveTopicRequest) => ({
    moved: await redrive(
      host.broker,
      request.topic,
      request.limit === 0 ? Number.POSITIVE_INFINITY : request.limit,
    ),
  }),
};

/** Answers one unary call. Never throws. */
export async function handleTwirp(host: AdminHost, request: Request, path: string): Promise<Response> {
  try {
    const method = methodAt(path);
    if (request.method !== "POST") {
      throw new TinyMQError("UNIMPLEMENTED", `a unary call is a POST, not a ${request.method}`);
    }
    const type = (request.headers.get("content-type") ?? "").split(";")[0]!.trim();
    if (type !== "application/json" && type !== "application/protobuf") {
      throw new TinyMQError(
        "INVALID_ARGUMENT",
        "Content-Type must be application/json or application/protobuf",
      );
    }
    const body = new Uint8Array(await request.arrayBuffer());
    if (body.length > MAX_BODY_BYTES) throw new TinyMQError("OUT_OF_RANGE", "the request is above 1 MiB");
    const input = decode(method, type, body);
    const output = await HANDLERS[method.localName as keyof IAdminClient](host, input as never);
    return type === "application/json"
      ? Response.json(method.O.toJson(output, { emitDefaultValues: true }))
      : new Response(method.O.toBinary(output) as Uint8Array<ArrayBuffer>, {
          headers: { "Content-Type": type },
        });
  } catch (thrown) {
    return twirpError(toTinyMQError(thrown));
  }
}

function methodAt(path: string): MethodInfo<object, object> {
  const method = Admin.methods.find((each) => path === `${TWIRP_PREFIX}${Admin.typeName}/${each.name}`);
  if (method === undefined) throw new TinyMQError("NOT_FOUND", `there is no method at ${path}`);
  return method;
}

function decode(method: MethodInfo<object, object>, type: string, body: Uint8Array): object {
  try {
    if (type === "application/protobuf") return method.I.fromBinary(body);
    const text = new TextDecoder("utf-8", { fatal: true }).decode(body);
    return method.I.fromJson(text.trim() === "" ? {} : JSON.parse(text), { ignoreUnknownFields: false });
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new TinyMQError("INVALID_ARGUMENT", `the body is no ${method.I.typeName}: ${why}`, { cause });
  }
}

function getStatus(host: AdminHost): GetStatusResponse {
  const { broker } = host;
  let messages = 0;
  for (const topic of broker.topics.values()) messages += topic.log.count + (topic.delays?.count ?? 0);
  return {
    version: VERSION,
    instance: broker.instance,
    pid: process.pid,
    uptimeMs: Math.round(host.uptimeMs),
    topics: broker.topics.size,
    connections: host.connections,
    messages,
    memoryUsed: broker.memoryUsed,
    memoryLimit: broker.limits.maxMemory,
    resident: process.memoryUsage.rss(),
    engine: broker.engineName,
    counters: { ...broker.counters },
  };
}

function listTopics(host: AdminHost, request: ListTopicsRequest): ListTopicsResponse {
  const names = [...host.broker.topics.keys()].filter((name) => name.startsWith(request.prefix)).sort();
  const limit = Math.min(request.limit === 0 ? MOST_TOPICS : request.limit, MOST_TOPICS);
  const page = names.filter((name) => request.after === "" || name > request.after).slice(0, limit);
  return { topics: page.map((name) => topicInfo(host.broker.requireTopic(name))), total: names.length };
}

function topicInfo(topic: Topic): TopicInfo {
  return {
    name: topic.name,
    ready: topic.ready,
    unacked: topic.leased,
    delayed: (topic.delays?.count ?? 0) + (topic.heldBack?.count ?? 0),
    memory: topic.memory,
    producers: topic.producers.connected,
    consumers: topic.dispatcher.consumers,
    standbys: topic.dispatcher.standbys,
    subscribers: topic.subscribers,
    counters: { ...topic.counters },
  };
}
