/** `status`: shows what a server holds, and what it uses. */
import { TinyMQError } from "../../src/errors.ts";
import { formatDuration, formatSize } from "../../src/server/index.ts";
import { ask, notRunning } from "../admin.ts";
import { command } from "../command.ts";
import { describeServer, type ServerRecord, serverUrl } from "../daemon/server-record.ts";
import { PROGRAM } from "../help.ts";
import { formatCount } from "../io/count.ts";
import { table } from "../io/table.ts";
import { print } from "../io/talk.ts";
import { findTarget, namedTarget, runningServer, TARGET_ARGUMENTS, type Target } from "../target.ts";

type Status = Awaited<ReturnType<typeof getStatus>>;

export const status = command({
  meta: { name: "status", description: "shows the server's state; exit code 1 if none is running" },
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
    const named = namedTarget(args) !== null;
    const record = named ? null : runningServer();
    if (!named && record === null) throw await notRunning("name it with --host or --port to see its state");
    const target = findTarget(args);
    const found = await getStatus(target, record);
    print(args.json ? `${JSON.stringify(asJson(found, target, record))}\n` : asText(found, target, record));
  },
});

async function getStatus(target: Target, record: ServerRecord | null) {
  try {
    return await ask(target, (admin, options) => admin.getStatus({}, options));
  } catch (error) {
    if (record === null || !(error instanceof TinyMQError)) throw error;
    const log = record.log === "" ? "" : `; its log: ${record.log}`;
    const trouble = error.code === "UNAVAILABLE" ? "does not answer" : "refused the request";
    const message = `tinyMQ is running (${describeServer(record)}), but ${trouble}: ${error.message}${log}`;
    throw new TinyMQError(error.code, message, { cause: error });
  }
}

function asText(found: Status, target: Target, record: ServerRecord | null): string {
  const memory = `${formatSize(found.memoryUsed)} of ${formatSize(found.memoryLimit)} for messages`;
  const rows: [string, string][] = [
    ["address", serverUrl(record ?? target)],
    ["pid", String(found.pid)],
    ["uptime", formatDuration(found.uptimeMs)],
    ["connections", formatCount(found.connections)],
    ["topics", formatCount(found.topics)],
    ["messages", formatCount(found.messages)],
    ["memory", `${memory}; process ${formatSize(found.resident)}`],
  ];
  if (record !== null && record.log !== "") rows.push(["log", record.log]);
  return `tinyMQ ${found.version} is running.\n\n${table(rows)}`;
}

function asJson(found: Status, target: Target, record: ServerRecord | null): object {
  const { host, port, log, startedAt } = record ?? {};
  return { running: true, address: serverUrl(record ?? target), host, port, log, startedAt, ...found };
}
