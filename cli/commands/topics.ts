/** `topics`: lists topics, purges one, or moves its dead letters back. */
import { formatDuration, formatSize, withoutDeadLetterSuffix } from "../../src/server/index.ts";
import { ask } from "../admin.ts";
import { command, parseCount } from "../command.ts";
import { PROGRAM } from "../help.ts";
import { counted, formatCount } from "../io/count.ts";
import { grid } from "../io/table.ts";
import { bold, print } from "../io/talk.ts";
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

type Topic = Awaited<ReturnType<typeof listTopics>>[number];

export const topics = command({
  meta: { name: "topics", description: "lists the topics, purges one, or moves its dead letters back" },
  args: {
    prefix: { type: "string", description: "list only topics whose name begins with this" },
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
    print(args.json ? `${JSON.stringify(found)}\n` : asText(found));
  },
});

const purge = command({
  meta: { name: "purge", description: "drops all messages of a topic, except those that a consumer holds" },
  args: {
    topic: { type: "positional", required: true, description: "the topic's name" },
    ...TARGET_ARGUMENTS,
  },
  examples: [`${PROGRAM} topics purge orders`],
  async run({ args }) {
    const { topic } = args;
    const { purged } = await ask(findTarget(args), (admin, options) => admin.purgeTopic({ topic }, options));
    print(`${counted(purged, "message")} purged from ${topic}\n`);
  },
});

const redrive = command({
  meta: { name: "redrive", description: "moves the messages of TOPIC.dead back to TOPIC" },
  args: {
    topic: { type: "positional", required: true, description: "the name of the topic they go back to" },
    limit: { type: "string", valueHint: "NUMBER", description: "move at most so many (all)" },
    ...TARGET_ARGUMENTS,
  },
  examples: [`${PROGRAM} topics redrive orders`, `${PROGRAM} topics redrive orders --limit 100`],
  async run({ args }) {
    const { topic } = args;
    const request = { topic, limit: parseCount("limit", args.limit, 0, { least: 1 }) };
    const { moved } = await ask(findTarget(args), (admin, options) => admin.redriveTopic(request, options));
    print(`${counted(moved, "message")} moved back to ${withoutDeadLetterSuffix(topic)}\n`);
  },
});

async function listTopics(target: Target, prefix: string) {
  const found = [];
  while (true) {
    const after: string = found.at(-1)?.name ?? "";
    const page = { prefix, after, limit: PAGE };
    const { topics } = await ask(target, (admin, options) => admin.listTopics(page, options));
    found.push(...topics);
    if (topics.length < PAGE) return found;
  }
}

function asText(found: readonly Topic[]): string {
  if (found.length === 0) return "There are no topics.\n";
  // Few topics are ever held back: those of consumers that retry with a delay.
  const held = found.some(({ heldMs }) => heldMs > 0) ? ["held for"] : [];
  const rows = found.map((topic) => [
    topic.name,
    ...COUNTS.map((name) => (name === "memory" ? formatSize : formatCount)(topic[name])),
    ...held.map(() => (topic.heldMs > 0 ? formatDuration(topic.heldMs) : "")),
  ]);
  return grid(["topic", ...COUNTS, ...held], rows, bold);
}
