/** `produce`: sends every line of standard input as a message. */
import { type Code, QueueFull, TinyMQError } from "../../src/errors.ts";
import { bytes, Producer } from "../../src/index.ts";
import { formatDuration } from "../../src/server/index.ts";
import { command, LARGEST_MESSAGE, parseCount } from "../command.ts";
import { watchSignals } from "../daemon/signals.ts";
import { PROGRAM } from "../help.ts";
import { counted, formatCount } from "../io/count.ts";
import { parseMessage } from "../io/json-message.ts";
import { readLines } from "../io/lines.ts";
import { talk } from "../io/talk.ts";
import { clientOptions, findTarget, TARGET_ARGUMENTS } from "../target.ts";

/** Bytes that are sent but not yet stored, at most. */
const MAX_UNACKNOWLEDGED = 16 * 1024 * 1024;
/** Messages that are sent but not yet stored, at most. */
const MAX_UNSETTLED = 65_536;
/** How often a message that waits for room is sent again, in ms. */
const ROOM_MS = 100;
/** Codes that say that the message is certainly not stored; after any other error it may be. */
const REFUSALS: ReadonlySet<Code> = new Set([
  "CANCELLED",
  "INVALID_ARGUMENT",
  "OUT_OF_RANGE",
  "RESOURCE_EXHAUSTED",
]);

const INTERRUPTED = new TinyMQError("CANCELLED", "interrupted");

type Send = (line: Uint8Array, index: number) => Promise<void>;

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
    wait: {
      type: "boolean",
      default: false,
      description: "wait for room where the server is full; slower, as messages go one by one",
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
    const send: Send = (line, index) => {
      const message = args.json ? parseMessage(line) : { body: line };
      const { id = firstId + index, body, headers } = message;
      return producer.send(body, id, headers && { headers });
    };
    // A later message must not take the room that an earlier one waits for.
    const most = args.wait ? 1 : MAX_UNSETTLED;
    const stop = new AbortController();
    const sending = new Sending(args.wait ? whereThereIsRoom(send, stop.signal) : send, (unsettled) => {
      return unsettled >= most || producer.unacknowledgedBytes * 2 >= MAX_UNACKNOWLEDGED;
    });
    watchSignals().first.then(() => {
      stop.abort(INTERRUPTED);
      sending.stop(INTERRUPTED);
    });
    try {
      // The input may be idle: what fails meanwhile ends the wait for it.
      await Promise.race([sending.all(readLines(Bun.stdin.stream(), LARGEST_MESSAGE)), sending.failed]);
      await sending.done();
    } catch (error) {
      throw await sending.explain(error);
    } finally {
      await producer.close();
    }
    report(sending.stored, performance.now() - started);
  },
});

/** Messages being sent, in the order of their lines. */
class Sending {
  stored = 0;
  /** Resolves when no more lines are sent: one is not stored, or `stop` was called. */
  readonly failed: Promise<void>;
  readonly #fail: () => void;
  #line = 0;
  #unsettled = 0;
  /** Of the first line that is not stored. */
  #failure: { error: unknown; line: number } | undefined;
  #wake = (): void => {};
  readonly #send: Send;
  readonly #isFull: (unsettled: number) => boolean;

  /** `isFull` says whether as much is on its way as may be. */
  constructor(send: Send, isFull: (unsettled: number) => boolean) {
    this.#send = send;
    this.#isFull = isFull;
    ({ promise: this.failed, resolve: this.#fail } = Promise.withResolvers<void>());
  }

  /** Resolves when all lines are sent, or throws the first failure. */
  async all(input: AsyncIterable<Uint8Array[]>): Promise<void> {
    for await (const lines of input) await this.#add(lines);
  }

  /** Sends no more lines, because of `error`. */
  stop(error: TinyMQError): void {
    this.#failure ??= { error, line: Infinity };
    this.#fail();
    this.#wake();
  }

  /** Resolves when the lines are sent; waits for earlier ones before that. Throws the first failure so far. */
  async #add(lines: Uint8Array[]): Promise<void> {
    for (const line of lines) {
      // No wait that need not be: what is sent in one turn travels together. None after a failure: `done` waits then.
      if (!this.#hasRoom()) await this.#until(() => this.#hasRoom());
      if (this.#failure) throw this.#failure.error;
      const number = ++this.#line;
      const failed = (error: unknown) => this.#settled({ error, line: number });
      this.#unsettled += 1;
      try {
        const sent = this.#send(line, number - 1);
        sent.then(this.#wellSettled, failed);
        // Refused before it was sent, as one that is too large: nothing behind it is sent.
        if (Bun.peek.status(sent) === "rejected") return;
      } catch (error) {
        failed(error);
      }
    }
  }

  /** Resolves when all is stored. */
  async done(): Promise<void> {
    await this.#until(() => this.#unsettled === 0);
    if (this.#failure) throw this.#failure.error;
  }

  /** The first failure with its line, if it is of one, and how many messages are stored, once that is known. */
  async explain(thrown: unknown): Promise<unknown> {
    await this.#until(() => this.#unsettled === 0);
    const { error, line } = this.#failure ?? { error: thrown, line: 0 };
    if (!(error instanceof TinyMQError)) return error;
    const isRefusal = REFUSALS.has(error.code);
    const ofLine = isRefusal && line > 0 && error !== INTERRUPTED;
    const behind = this.stored - line + 1;
    const texts = [
      ofLine ? `line ${formatCount(line)}: ` : "",
      `${error.message}; ${isRefusal ? "" : "at least "}${counted(this.stored, "message")} stored`,
      ofLine && behind > 0 ? `, ${formatCount(behind)} of them after that line` : "",
      isFull(error) ? "; --wait waits for room" : "",
    ];
    return new TinyMQError(error.code, texts.join(""), { cause: error });
  }

  readonly #wellSettled = (): void => {
    this.stored += 1;
    this.#settled();
  };

  #settled(failure?: { error: unknown; line: number }): void {
    this.#unsettled -= 1;
    if (failure && failure.line < (this.#failure?.line ?? Infinity)) this.#failure = failure;
    if (failure) this.#fail();
    this.#wake();
  }

  /** Whether the next line may be sent, or no more will be. */
  #hasRoom(): boolean {
    return this.#failure !== undefined || !this.#isFull(this.#unsettled);
  }

  /** Only one may wait at a time. */
  async #until(isSo: () => boolean): Promise<void> {
    while (!isSo()) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }
}

/** Whether the server has no room now, and may have some later. */
function isFull(error: unknown): error is QueueFull {
  return error instanceof QueueFull && !error.message.startsWith(QueueFull.NEVER_FITS);
}

/** Sends again until the server has room, or `stop` is aborted. */
function whereThereIsRoom(send: Send, stop: AbortSignal): Send {
  let told = false;
  return async (line, index) => {
    while (true) {
      try {
        return await send(line, index);
      } catch (error) {
        if (!isFull(error)) throw error;
        stop.throwIfAborted();
        if (!told) talk.info(`Waiting for room: ${error.message}`);
        told = true;
        await Bun.sleep(ROOM_MS);
      }
    }
  };
}

function report(count: number, elapsed: number): void {
  const rate = elapsed < 1 ? "" : ` (${formatCount(Math.round(count / (elapsed / 1_000)))}/s)`;
  talk.info(`${counted(count, "message")} stored in ${formatDuration(elapsed)}${rate}`);
}
