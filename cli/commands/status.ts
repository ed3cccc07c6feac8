/** `status`: how the server does. */
import { TinyMQError } from "../../src/errors.ts";
import { callServer, countOf, type Json } from "../admin.ts";
import { command } from "../command.ts";
import { formatCount, formatDuration, formatSize } from "../format.ts";
import { PROGRAM } from "../help.ts";
import { describeServer, type ServerRecord, serverUrl } from "../server-record.ts";
import { print, table } from "../talk.ts";
import {
  findTarget,
  namedTarget,
  runningServer,
  TARGET_ARGUMENTS,
  type Target,
  targetOf,
} from "../target.ts";

export const status = command({
  meta: { name: "status", description: "shows how the server does; exit code 1 if none runs" },
  args: {
    json: { type: "boolean", default: false, description: "print one JSON object" },
    ...TARGET_ARGUMENTS,
  },
  examples: [
    `${PROGRAM} status`,
    `${PROGRAM} status --json`,
    `${PROGRAM} status --host queue.example --port 9800`,
  ],
  async run({ args }) {
    const record = namedTarget(args) === null ? runningServer() : null;
    if (record === null && namedTarget(args) === null) {
      throw new TinyMQError("FAILED_PRECONDITION", "tinyMQ is not running");
    }
    const target = record === null ? findTarget(args) : targetOf(record, args["token-file"]);
    const answer = await ask(target, record);
    print(args.json ? `${JSON.stringify(asJson(answer, target, record))}\n` : asText(answer, target, record));
  },
});

async function ask(target: Target, record: ServerRecord | null): Promise<Json> {
  try {
    return await callServer(target, "GetStatus");
  } catch (error) {
    if (record === null || !(error instanceof TinyMQError)) throw error;
    const log = record.log === "" ? "" : `; its log: ${record.log}`;
    const trouble = error.code === "UNAVAILABLE" ? "does not answer" : "refuses to answer";
    const message = `tinyMQ is there (${describeServer(record)}), but ${trouble}: ${error.message}${log}`;
    throw new TinyMQError(error.code, message, { cause: error });
  }
}

function asText(answer: Json, target: Target, record: ServerRecord | null): string {
  const used = formatSize(countOf(answer.memoryUsed));
  const memory = `${used} of ${formatSize(countOf(answer.memoryLimit))} for messages`;
  const rows: [string, string][] = [
    ["address", serverUrl(record ?? target)],
    ["pid", String(countOf(answer.pid))],
    ["uptime", formatDuration(countOf(answer.uptimeMs))],
    ["connections", formatCount(countOf(answer.connections))],
    ["topics", formatCount(countOf(answer.topics))],
    ["messages", formatCount(countOf(answer.messages))],
    ["memory", `${memory}; process ${formatSize(countOf(answer.resident))}`],
  ];
  if (record !== null && record.log !== "") rows.push(["log", record.log]);
  return `tinyMQ ${answer.version ?? ""} is running.\n\n${table(rows)}`;
}

function asJson(answer: Json, target: Target, record: ServerRecord | null): Json {
  const counters = Object.entries((answer.counters ?? {}) as Json).map(([name, value]) => [
    name,
    countOf(value),
  ]);
  return {
    running: true,
    address: serverUrl(record ?? target),
    ...(record === null
      ? {}
      : { host: record.host, port: record.port, log: record.log, startedAt: record.startedAt }),
    version: answer.version,
    instance: answer.instance,
    engine: answer.engine,
    pid: countOf(answer.pid),
    uptimeMs: countOf(answer.uptimeMs),
    connections: countOf(answer.connections),
    topics: countOf(answer.topics),
    messages: countOf(answer.messages),
    memoryUsed: countOf(answer.memoryUsed),
    memoryLimit: countOf(answer.memoryLimit),
    resident: countOf(answer.resident),
    counters: Object.fromEntries(counters),
  };
}
