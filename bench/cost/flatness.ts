/**
 * Whether a message costs the same whatever else the server holds: with 1,000 to 10 million queued before it, and
 * with 1 to 100,000 idle topics beside its own. Each level is measured in turn with a server at the lowest
 * level, and the lowest CPU time of the one is compared with the lowest of the other: whatever else the
 * machine does can only add to it, and adds more than the differences that matter here.
 */
import { cpuMicros } from "../harness/process-cost.ts";
import { requireAll, type Session, type TopicOptions } from "../harness/session.ts";
import { figure } from "../harness/statistics.ts";
import type { Subject } from "../harness/subject.ts";
import type { Cost } from "../results.ts";
import type { CostMeasurement } from "./cost-measurement.ts";
import { fill, Series, withServer } from "./measure.ts";

const SIZE = 128;
const QUEUED = [1_000, 10_000, 100_000, 1_000_000, 10_000_000];
const TOPICS = [1, 1_000, 10_000, 100_000];
/** Messages that go in and come out in each run. */
const MESSAGES = 500_000;
/** Rounds for each run of other figures. */
const ROUNDS_PER_RUN = 2;
/** Runs until a new server's code is compiled. */
const WARM_UP_RUNS = 4;
/** The producer may be this far ahead of the consumer, so the backlog stays about as long as it was. */
const AHEAD = 16_384;

/** One server with one topic through which runs go; the topic keeps its backlog. */
class Lane {
  readonly #session: Session;
  readonly #topic: TopicOptions;
  #in = 0;
  #out = 0;

  constructor(session: Session, topic: TopicOptions) {
    this.#session = session;
    this.#topic = topic;
  }

  async warmUp(): Promise<void> {
    for (let run = 0; run < WARM_UP_RUNS; run++) await this.run();
  }

  /** Queues so many messages, in all. */
  async queue(count: number): Promise<void> {
    const missing = count - (this.#in - this.#out);
    if (missing > 0) await fill(this.#session, this.#topic, missing, this.#in);
    this.#in = this.#out + count;
  }

  /** One run; the server's CPU time for each message in and out, in µs. */
  async run(): Promise<number> {
    const { producer, consumer, server, subject } = this.#session;
    const { producers: _producers, consumers: _consumers, ...open } = this.#topic;
    await consumer.ask("openConsumers", { ...open, connections: 1 });
    await producer.ask("openProducers", { ...open, connections: 1 });
    consumer.onProgress = (received) => producer.credit(received);
    const before = cpuMicros(server.pids);
    const arriving = consumer.ask("consume", {
      size: SIZE,
      producers: 1,
      perProducer: MESSAGES,
      first: this.#out,

      progressEvery: AHEAD / 4,
    });
    arriving.catch(() => {});
    await producer.ask("pipelined", {
      size: SIZE,
      count: MESSAGES,
      style: "send",
      ahead: AHEAD,
      first: this.#in,
    });
    const consumed = await arriving;
    const used = cpuMicros(server.pids) - before;
    this.#in += MESSAGES;
    this.#out += MESSAGES;
    await Promise.all([producer.ask("closeAll", null), consumer.ask("closeAll", null)]);
    requireAll(subject, consumed);
    return used / MESSAGES;
  }
}

export const flatness: CostMeasurement = {
  key: "flatness",
  title: "cost per message beside a long backlog and beside many topics",
  modes: ["full"],
  async measure({ subjects, settings, progress }) {
    const subject = subjects.find(({ role }) => role === "tinymq");
    if (subject === undefined) return [];
    const cpu = new Series();
    const ratios = new Series();
    await withServer(subject, async (base) => {
      const lowest = new Lane(base, topicOf("lowest"));
      await lowest.queue(QUEUED[0]!);
      await lowest.warmUp();
      const compare = async (name: string, lane: Lane): Promise<void> => {
        const beside: number[] = [];
        const here: number[] = [];
        await lane.run();
        for (let round = 0; round < settings.runs * ROUNDS_PER_RUN; round++) {
          beside.push(await lowest.run());
          here.push(await lane.run());
        }
        for (const used of here) cpu.add(name, used);
        ratios.add(name, Math.min(...here) / Math.min(...beside));
      };
      await compareBacklogs(subject, compare, (level) => progress.step(`${level} queued`));
      await compareTopics(subject, compare, (level) => progress.step(`${level} idle topics`));
    });
    return [...costsOf(subject.key, cpu, "cpu", "µs"), ...costsOf(subject.key, ratios, "ratio", "ratio")];
  },
};

type Compare = (name: string, lane: Lane) => Promise<void>;

async function compareBacklogs(
  subject: Subject,
  compare: Compare,
  tell: (level: number) => void,
): Promise<void> {
  await withServer(subject, async (session) => {
    const lane = new Lane(session, topicOf("backlog"));
    await lane.queue(QUEUED[0]!);
    await lane.warmUp();
    for (const level of QUEUED) {
      tell(level);
      await lane.queue(level);
      await compare(`flat-queued/${level}`, lane);
    }
  });
}

async function compareTopics(
  subject: Subject,
  compare: Compare,
  tell: (level: number) => void,
): Promise<void> {
  await withServer(subject, async (session) => {
    const lane = new Lane(session, topicOf("active"));
    await lane.queue(QUEUED[0]!);
    await lane.warmUp();
    let there = 1;
    for (const level of TOPICS) {
      tell(level);
      await session.producer.ask("nameTopics", { prefix: "idle-", from: there, to: level, size: SIZE });
      there = level;
      await compare(`flat-topics/${level}`, lane);
    }
  });
}

function topicOf(topic: string): TopicOptions {
  const alone = { shared: false, fanOut: false, producers: 1, consumers: 1 };
  return { topic, size: SIZE, consumeStyle: "stream", ...alone };
}

function costsOf(subject: string, series: Series, suffix: string, unit: Cost["unit"]): Cost[] {
  return series.entries().map(([key, values]) => {
    const [cost, at] = key.split("/");
    return { cost: `${cost}-${suffix}`, subject, at: Number(at), unit, figure: figure(values) };
  });
}
