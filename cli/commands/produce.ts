/** `produce`: sends every line of standard input as a message. */
import { TinyMQError } from "../../src/errors.ts";
import { bytes, type OutgoingMessage, Producer } from "../../src/index.ts";
import { formatDuration } from "../../src/server/index.ts";
import { command, LARGEST_MESSAGE, parseCount } from "../command.ts";
import { PROGRAM } from "../help.ts";
import { counted, formatCount } from "../io/count.ts";
import { parseMessage } from "../io/json-message.ts";
import { readLines } from "../io/lines.ts";
import { talk } from "../io/talk.ts";
import { clientOptions, findTarget, TARGET_ARGUMENTS } from "../target.ts";

/** Bytes that are sent but not yet stored, at most. */
const MAX_UNACKNOWLEDGED = 16 * 1024 * 1024;
/** Blocks of lines that are sent but not yet stored, at most. */
const MAX_BLOCKS = 256;

export const produce = command({
  meta: { name: "produce", description: "sends every line of standard input as a message" },
  args: {
    topic: { type: "positional", required: true, description: "the topic's name" },
    "first-id": {
      type: "string",
      valueHint: "NUMBER",
      description: "id of the first message; the next ones count up from it (0)",
    },
    json: {
      type: "boolean",
      default: false,
      description: 'lines are objects: {"id": 1, "body": "…", "headers": {…}}, all but body optional',
    },
    ...TARGET_ARGUMENTS,
  },
  examples: [
    `echo hello | ${PROGRAM} produce greetings`,
    `${PROGRAM} produce access-log < access.log`,
    `${PROGRAM} consume orders --json | ${PROGRAM} produce --json orders --host other.example`,
  ],
  async run({ args }) {
    const firstId = parseCount("first-id", args["first-id"], 0, { most: Number.MAX_SAFE_INTEGER });
    const target = findTarget(args);
    const options = { ...clientOptions(target), codec: bytes, maxUnacknowledged: MAX_UNACKNOWLEDGED };
    const producer = new Producer(target.host, target.port, args.topic, options);
    await producer.initConn();
    const started = performance.now();
    const toMessage = args.json
      ? parseMessage
      : (body: Uint8Array): OutgoingMessage<Uint8Array> => ({ body });
    const sending = new Sending(producer, firstId, toMessage);
    try {
      for await (const lines of readLines(Bun.stdin.stream(), LARGEST_MESSAGE)) await sending.add(lines);
      await sending.done();
    } catch (error) {
      throw sending.explain(error);
    } finally {
      await producer.close();
    }
    report(sending.stored, performance.now() - started);
  },
});

/** Messages being sent, in blocks. Each block is added after the one before, which keeps them in order. */
class Sending {
  /** Messages of the blocks that are stored. */
  stored = 0;
  #line = 0;
  readonly #producer: Producer<Uint8Array>;
  readonly #firstId: number;
  readonly #toMessage: (line: Uint8Array) => OutgoingMessage<Uint8Array>;
  readonly #blocks: Promise<void>[] = [];
  #failure: { error: unknown } | null = null;

  constructor(
    producer: Producer<Uint8Array>,
    firstId: number,
    toMessage: (line: Uint8Array) => OutgoingMessage<Uint8Array>,
  ) {
    this.#producer = producer;
    this.#firstId = firstId;
    this.#toMessage = toMessage;
  }

  /** Resolves when the block is sent; waits for room before that. Throws the first failure so far. */
  async add(lines: Uint8Array[]): Promise<void> {
    const added = Promise.withResolvers<void>();
    const block = this.#producer.sendBatch(this.#messages(lines, added.resolve)).then(
      () => {
        this.stored += lines.length;
      },
      (error: unknown) => {
        this.#failure ??= { error };
        added.resolve();
      },
    );
    this.#blocks.push(block);
    await added.promise;
    if (this.#blocks.length >= MAX_BLOCKS) await this.#blocks.shift();
    if (this.#failure) throw this.#failure.error;
  }

  /** Resolves when all is stored. */
  async done(): Promise<void> {
    await Promise.all(this.#blocks);
    if (this.#failure) throw this.#failure.error;
  }

  /** The error with its line, if it is about one, and with how many messages are stored. */
  explain(error: unknown): unknown {
    if (!(error instanceof TinyMQError)) return error;
    const ofLine = error.code === "INVALID_ARGUMENT" || error.code === "OUT_OF_RANGE";
    const where = ofLine && this.#line > 0 ? `line ${this.#line}: ` : "";
    const before = this.stored === 0 ? "" : `; stored before it: at least ${counted(this.stored, "message")}`;
    return new TinyMQError(error.code, `${where}${error.message}${before}`, { cause: error });
  }

  *#messages(lines: Uint8Array[], added: () => void): Generator<OutgoingMessage<Uint8Array>> {
    try {
      for (const line of lines) {
        this.#line += 1;
        yield { id: this.#firstId + this.#line - 1, ...this.#toMessage(line) };
      }
    } finally {
      added();
    }
  }
}

function report(count: number, elapsed: number): void {
  const rate = elapsed < 1 ? "" : ` (${formatCount(Math.round(count / (elapsed / 1_000)))}/s)`;
  talk.info(`${counted(count, "message")} stored in ${formatDuration(elapsed)}${rate}`);
}
