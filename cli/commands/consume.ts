/** `consume`: prints the messages of a topic, and acknowledges them. */
import { bytes, type ConsumedMessage, Consumer } from "../../src/index.ts";
import { findTopic } from "../admin.ts";
import { command, parseCount, parseValue } from "../command.ts";
import { watchSignals } from "../daemon/signals.ts";
import { PROGRAM } from "../help.ts";
import { bodyLine, jsonLine } from "../io/json-message.ts";
import { printMessages } from "../io/print-messages.ts";
import { MessageOutput } from "../io/standard-output.ts";
import { clientOptions, findTarget, TARGET_ARGUMENTS, type Target } from "../target.ts";
import { noteNewTopic } from "../topic-note.ts";

/** Messages fetched ahead, in each mode. Where several consumers share, none may hold much of the backlog. */
const PREFETCH = { exclusive: 2_048, standby: 2_048, shared: 64 };
const MODES = Object.keys(PREFETCH);
type Mode = keyof typeof PREFETCH;
type Message = ConsumedMessage<Uint8Array>;

/** How often the topic is looked at while acknowledgements, which take up to 50 ms, are on their way. */
const LOOK_AGAIN_MS = 10;
/** How long a signal waits for the reader of what is being printed, and then for the server, in ms. */
const END_LIMIT_MS = 2_000;

export const consume = command({
  meta: { name: "consume", description: "prints the messages of a topic, and acknowledges what is printed" },
  args: {
    topic: { type: "positional", required: true, description: "the topic's name" },
    follow: {
      type: "boolean",
      default: false,
      description:
        "wait for more when the topic is empty; that the reader has gone shows with the next message",
    },
    limit: { type: "string", valueHint: "NUMBER", description: "end after so many messages" },
    mode: {
      type: "string",
      valueHint: MODES.join("|"),
      description:
        "be the topic's only consumer, wait in line for that, or share the topic with others (exclusive)",
    },
    json: {
      type: "boolean",
      default: false,
      description: "print objects: id, body (or bodyBase64), headers, offset, redelivered",
    },
    ...TARGET_ARGUMENTS,
  },
  examples: [
    `${PROGRAM} consume greetings`,
    `${PROGRAM} consume orders --follow --json`,
    `${PROGRAM} consume jobs --mode shared --limit 1`,
  ],
  async run({ args }) {
    const limit = parseCount("limit", args.limit, Number.POSITIVE_INFINITY, { least: 1 });
    const mode = parseValue(
      { name: "mode", kind: "choice", choices: MODES },
      args.mode ?? "exclusive",
    ) as Mode;
    const target = findTarget(args);
    const prefetch = Math.min(limit, PREFETCH[mode]);
    const options = { ...clientOptions(target), codec: bytes, mode, prefetch, autoAck: false };
    const consumer = new Consumer(target.host, target.port, args.topic, options);
    await consumer.initConn();
    await noteNewTopic(target, args.topic);
    // Acknowledged in halves, so that more messages arrive while some are written.
    const output = new MessageOutput<Message>(Math.ceil(prefetch / 2), (message) => message.ack());
    const printing = printMessages<Message>({
      messages: consumer[Symbol.asyncIterator](),
      output,
      limit,
      encode: args.json ? jsonLine : bodyLine,
      isEnd: async (next) =>
        !args.follow && (await isDrained(next, consumer, () => countLeft(target, args.topic, mode))),
    });
    try {
      await Promise.race([printing, watchSignals().first]);
      // A signal may come while messages are printed: they would come again if they were not acknowledged.
      await Promise.race([output.end(), Bun.sleep(END_LIMIT_MS)]);
      await Promise.race([consumer.flush(), Bun.sleep(END_LIMIT_MS)]);
    } finally {
      await consumer.close();
    }
  },
});

/** Whether no message is left for this consumer; false as soon as `next` is settled. */
async function isDrained(
  next: Promise<unknown>,
  consumer: Consumer<Uint8Array>,
  left: () => Promise<number>,
): Promise<boolean> {
  while (Bun.peek.status(next) === "pending") {
    // A standby gets messages only later, when it holds the lock.
    if (consumer.state !== "standby" && (await left()) === 0) return Bun.peek.status(next) === "pending";
    await Promise.race([next, Bun.sleep(LOOK_AGAIN_MS)]);
  }
  return false;
}

/** Messages that are left for this consumer. In shared mode those that others hold do not count. */
async function countLeft(target: Target, topic: string, mode: Mode): Promise<number> {
  const found = await findTopic(target, topic);
  return found === null ? 0 : found.ready + (mode === "shared" ? 0 : found.unacked);
}
