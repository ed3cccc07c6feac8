/** `tail`: prints the messages of a topic as they are sent, and consumes none. */
import { bytes, type PublishedMessage, Subscriber } from "../../src/index.ts";
import { command, parseCount } from "../command.ts";
import { watchSignals } from "../daemon/signals.ts";
import { PROGRAM } from "../help.ts";
import { counted } from "../io/count.ts";
import { bodyLine, jsonLine } from "../io/json-message.ts";
import { printMessages } from "../io/print-messages.ts";
import { MessageOutput } from "../io/standard-output.ts";
import { talk } from "../io/talk.ts";
import { clientOptions, findTarget, TARGET_ARGUMENTS } from "../target.ts";
import { noteNewTopic } from "../topic-note.ts";

/** Messages that are written together at most. */
const BLOCK_MESSAGES = 1_024;
/** How often missed messages are reported, in ms. */
const REPORT_MS = 1_000;

export const tail = command({
  meta: { name: "tail", description: "prints messages as they are sent, and consumes none" },
  args: {
    topic: { type: "positional", required: true, description: "the topic's name" },
    limit: { type: "string", valueHint: "NUMBER", description: "end after so many messages" },
    json: {
      type: "boolean",
      default: false,
      description: "print objects: id, body (or bodyBase64), headers",
    },
    ...TARGET_ARGUMENTS,
  },
  examples: [`${PROGRAM} tail orders`, `${PROGRAM} tail orders --json --limit 10`],
  async run({ args }) {
    const limit = parseCount("limit", args.limit, Number.POSITIVE_INFINITY, { least: 1 });
    const target = findTarget(args);
    const options = { ...clientOptions(target), codec: bytes };
    const subscriber = new Subscriber(target.host, target.port, args.topic, options);
    await subscriber.initConn();
    await noteNewTopic(target, args.topic);
    const report = missedReporter(subscriber);
    const timer = setInterval(report, REPORT_MS);
    const printing = printMessages<PublishedMessage<Uint8Array>>({
      messages: subscriber[Symbol.asyncIterator](),
      output: new MessageOutput(BLOCK_MESSAGES, () => {}),
      limit,
      encode: args.json ? jsonLine : bodyLine,
      isEnd: async () => false,
    });
    try {
      await Promise.race([printing, watchSignals().first]);
    } finally {
      clearInterval(timer);
      report();
      await subscriber.close();
    }
  },
});

/** Reports how many messages were missed since the last call, if any were. */
function missedReporter(subscriber: { readonly missed: number }): () => void {
  let reported = 0;
  return () => {
    const missed = subscriber.missed - reported;
    if (missed === 0) return;
    reported += missed;
    talk.warn(`${counted(missed, "message")} missed`);
  };
}
