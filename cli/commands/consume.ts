/** `consume`: takes the messages of a topic and prints them. */
import { TinyMQError } from "../../src/errors.ts";
import { bytes, type ConsumedMessage, Consumer } from "../../src/index.ts";
import { callServer, countOf } from "../admin.ts";
import { clientOptions } from "../client-options.ts";
import { command, parseCount, parseValue } from "../command.ts";
import { PROGRAM } from "../help.ts";
import { interrupted } from "../interrupted.ts";
import { bodyLine, jsonLine } from "../json-message.ts";
import { printMessages } from "../print-messages.ts";
import { MessageOutput } from "../standard-output.ts";
import { findTarget, TARGET_ARGUMENTS, type Target } from "../target.ts";

const MODES = ["exclusive", "standby", "shared"] as const;
type Mode = (typeof MODES)[number];
type Message = ConsumedMessage<Uint8Array>;

/** Messages that are fetched ahead; where several consumers share, none must hold much of the backlog. */
const PREFETCH = 2_048;
const SHARED_PREFETCH = 64;
/** Acknowledgements are on their way for up to 50 ms; then the topic is looked at again. */
const LOOK_AGAIN_MS = 10;

export const consume = command({
  meta: { name: "consume", description: "prints the messages of a topic, and acknowledges what is printed" },
  args: {
    topic: { type: "positional", required: true, description: "the topic's name" },
    follow: {
      type: "boolean",
      default: false,
      description: "wait for more, instead of ending when the topic is empty",
    },
    limit: { type: "string", valueHint: "NUMBER", description: "end after so many messages" },
    mode: {
      type: "string",
      valueHint: MODES.join("|"),
      description:
        "the topic's only consumer, one in line for that, or one of several that share (exclusive)",
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
    const limit = args.limit === undefined ? undefined : parseCount("limit", args.limit, 0, { least: 1 });
    const mode = parseValue(
      { name: "mode", kind: "choice", choices: MODES },
      args.mode ?? "exclusive",
    ) as Mode;
    const target = findTarget(args);
    const options = { ...clientOptions(target), codec: bytes, mode, autoAck: false };
    const prefetch = Math.min(mode === "shared" ? SHARED_PREFETCH : PREFETCH, limit ?? PREFETCH);
    const consumer = new Consumer(target.host, target.port, args.topic, { ...options, prefetch });
    await consumer.initConn();
    const printing = printMessages<Message>({
      messages: consumer[Symbol.asyncIterator](),
      // Half at a time, so that more is on its way while these are written.
      output: new MessageOutput(Math.ceil(prefetch / 2), (message) => message.ack()),
      limit,
      encode: args.json ? jsonLine : bodyLine,
      isEnd: async (next) =>
        !args.follow && (await isDrained(next, consumer, () => countLeft(target, args.topic, mode))),
    });
    try {
      await Promise.race([printing, interrupted()]);
    } finally {
      await consumer.close();
    }
  },
});

/** Whether no message is left for this consumer; false as soon as `next` is there. */
async function isDrained(
  next: Promise<unknown>,
  consumer: Consumer<Uint8Array>,
  left: () => Promise<number>,
): Promise<boolean> {
  while (Bun.peek.status(next) === "pending") {
    // In line for the lock, a consumer waits for what it will be given.
    if (consumer.state !== "standby" && (await left()) === 0) return Bun.peek.status(next) === "pending";
    await Promise.race([next, Bun.sleep(LOOK_AGAIN_MS)]);
  }
  return false;
}

/** A topic's only consumer has all messages when none is unacknowledged either: it acknowledged its own. */
async function countLeft(target: Target, topic: string, mode: Mode): Promise<number> {
  try {
    const { ready, unacked } = await callServer(target, "GetTopic", { topic });
    return countOf(ready) + (mode === "shared" ? 0 : countOf(unacked));
  } catch (error) {
    if (error instanceof TinyMQError && error.code === "NOT_FOUND") return 0;
    throw error;
  }
}
