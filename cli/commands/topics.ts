/** `topics`: what the server holds, and what an administrator may do with it. */
import { callServer, countOf, type Json } from "../admin.ts";
import { command, parseCount } from "../command.ts";
import { formatCount, formatSize } from "../format.ts";
import { PROGRAM } from "../help.ts";
import { bold, print } from "../talk.ts";
import { findTarget, TARGET_ARGUMENTS, type Target } from "../target.ts";

const COUNTS = [
  "ready",
  "unacked",
  "delayed",
  "memory",
  "producers",
  "consumers",
  "standbys",
  "subscribers",
] as const;
/** The largest page that the server gives (source: admin.proto). */
const PAGE = 1_000;

export const topics = command({
  meta: { name: "topics", description: "lists the topics, purges one, or moves its dead letters back" },
  args: {
    prefix: { type: "string", description: "only topics whose name begins with this" },
    json: { type: "boolean", default: false, description: "print a JSON array" },
    ...TARGET_ARGUMENTS,
  },
  examples: [
    `${PROGRAM} topics`,
    `${PROGRAM} topics --prefix orders. --json`,
    `${PROGRAM} topics purge orders`,
    `${PROGRAM} topics redrive orders --limit 100`,
  ],
  subCommands: {
    purge: async () => purge,
    redrive: async () => redrive,
  },
  async run({ args }) {
    const found = await listTopics(findTarget(args), args.prefix ?? "");
    print(args.json ? `${JSON.stringify(found.map(asJson))}\n` : asText(found));
  },
});

const purge = command({
  meta: { name: "purge", description: "drops every message of a topic that no consumer holds" },
  args: {
    topic: { type: "positional", required: true, description: "the topic's name" },
    ...TARGET_ARGUMENTS,
  },
  examples: [`${PROGRAM} topics purge orders`],
  async run({ args }) {
    const { purged } = await callServer(findTarget(args), "PurgeTopic", { topic: args.topic });
    print(`${messages(countOf(purged))} purged from ${args.topic}\n`);
  },
});

const redrive = command({
  meta: { name: "redrive", description: "moves the messages of TOPIC.dead back to TOPIC" },
  args: {
    topic: { type: "positional", required: true, description: "the name of the topic they go back to" },
    limit: { type: "string", valueHint: "NUMBER", description: "at most so many (all)" },
    ...TARGET_ARGUMENTS,
  },
  examples: [`${PROGRAM} topics redrive orders`, `${PROGRAM} topics redrive orders --limit 100`],
  async run({ args }) {
    const limit = parseCount("limit", args.limit, 0, { least: 1 });
    const { moved } = await callServer(findTarget(args), "RedriveTopic", { topic: args.topic, limit });
    print(`${messages(countOf(moved))} moved back to ${args.topic}\n`);
  },
});

async function listTopics(target: Target, prefix: string): Promise<Json[]> {
  const found: Json[] = [];
  while (true) {
    const after = String(found.at(-1)?.name ?? "");
    const page = await callServer(target, "ListTopics", { prefix, after, limit: PAGE });
    const more = (page.topics ?? []) as Json[];
    found.push(...more);
    if (more.length < PAGE) return found;
  }
}

function asJson(topic: Json): Json {
  const counters = Object.entries((topic.counters ?? {}) as Json).map(([name, value]) => [
    name,
    countOf(value),
  ]);
  return {
    name: topic.name,
    ...Object.fromEntries(COUNTS.map((name) => [name, countOf(topic[name])])),
    counters: Object.fromEntries(counters),
  };
}

function asText(found: readonly Json[]): string {
  if (found.length === 0) return "There are no topics.\n";
  const rows = found.map((topic) => [
    String(topic.name),
    ...COUNTS.map((name) => (name === "memory" ? formatSize : formatCount)(countOf(topic[name]))),
  ]);
  const titles = ["topic", ...COUNTS];
  const widths = titles.map((title, index) =>
    Math.max(title.length, ...rows.map((row) => row[index]!.length)),
  );
  const line = (cells: readonly string[]): string => {
    return cells
      .map((cell, index) => (index === 0 ? cell.padEnd(widths[0]!) : cell.padStart(widths[index]!)))
      .join("  ");
  };
  return `${bold(line(titles))}\n${rows.map((row) => `${line(row)}\n`).join("")}`;
}

function messages(count: number): string {
  return `${formatCount(count)} ${count === 1 ? "message" : "messages"}`;
}
