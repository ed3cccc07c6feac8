/** Resident memory: idle, for each queued message, and after everything was consumed. */
import { residentBytes } from "../harness/process-cost.ts";
import { requireAll, type Session, type TopicOptions } from "../harness/session.ts";
import { figure } from "../harness/statistics.ts";
import type { Subject } from "../harness/subject.ts";
import type { Cost } from "../results.ts";
import type { CostContext, CostMeasurement } from "./costs.ts";
import { drain, fill, SETTLE_MS, Series, withServer } from "./measure.ts";

const SIZE = 128;
/** Messages queued when memory is looked at; of peers only the first. */
const LEVELS = [100_000, 1_000_000, 10_000_000];
/** After the last message was consumed, in ms: memory is given back late. */
const AFTER_DRAIN_MS = [1_000, 10_000];

export const memory: CostMeasurement = {
  key: "memory",
  title: "memory: idle, per queued message, after drain",
  modes: ["full"],
  async measure(context) {
    const series = new Map<string, Series>();
    for (let run = 0; run < context.settings.runs; run++) {
      for (const subject of context.subjects.filter(({ sameServerAs }) => sameServerAs === undefined)) {
        context.progress.step(`memory, run ${run + 1}: ${subject.name}`);
        const own = series.get(subject.key) ?? new Series();
        series.set(subject.key, own);
        await look(subject, own, context);
      }
    }
    return [...series].flatMap(([key, own]) => costsOf(key, own));
  },
};

async function look(subject: Subject, series: Series, context: CostContext): Promise<void> {
  try {
    await withServer(subject, async (session, server) => {
      await Bun.sleep(SETTLE_MS);
      const resident = (): number => residentBytes(server.pids);
      const idle = resident();
      series.add("memory-idle", idle);
      if (subject.abilities.queue !== true) return;
      const levels = subject.role === "tinymq" ? LEVELS : LEVELS.slice(0, 1);
      await fillLevels(session, levels, (queued) => series.add(`memory-queued/${queued}`, resident() - idle));
      let waited = 0;
      for (const ms of AFTER_DRAIN_MS) {
        await Bun.sleep(ms - waited);
        waited = ms;
        series.add(`memory-after-drain/${ms}`, resident());
        // Of peers one look is enough.
        if (subject.role !== "tinymq") break;
      }
    });
  } catch (error) {
    context.skipped[`memory of ${subject.name}`] = String(error).split("\n")[0]!;
  }
}

/** Fills level after level, each with a topic of its own, and takes everything out again. */
async function fillLevels(
  session: Session,
  levels: readonly number[],
  look: (queued: number) => void,
): Promise<void> {
  const filled: { topic: TopicOptions; count: number }[] = [];
  let queued = 0;
  for (const level of levels) {
    const topic = topicOf(`memory-${level}`);
    await fill(session, topic, level - queued);
    filled.push({ topic, count: level - queued });
    queued = level;
    look(level);
  }
  for (const { topic, count } of filled) requireAll(session.subject, await drain(session, topic, count));
}

function topicOf(topic: string): TopicOptions {
  const alone = { shared: false, fanOut: false, producers: 1, consumers: 1 };
  return { topic, size: SIZE, consumeStyle: "stream", ...alone };
}

function costsOf(subject: string, series: Series): Cost[] {
  const costs: Cost[] = [];
  const byLevel = new Map<number, number[]>();
  for (const [key, values] of series.entries()) {
    const [cost, at] = key.split("/");
    if (cost !== "memory-queued") {
      costs.push({ cost: cost!, subject, at: at ? Number(at) : null, unit: "bytes", figure: figure(values) });
      continue;
    }
    byLevel.set(Number(at), values);
    const each = values.map((bytes) => bytes / Number(at));
    costs.push({ cost: "memory-per-message", subject, at: Number(at), unit: "bytes", figure: figure(each) });
  }
  const [least, most] = [Math.min(...byLevel.keys()), Math.max(...byLevel.keys())];
  if (byLevel.size > 1) {
    const below = byLevel.get(least)!;
    const slopes = byLevel.get(most)!.map((bytes, run) => (bytes - below[run]!) / (most - least));
    costs.push({
      cost: "memory-per-further-message",
      subject,
      at: most,
      unit: "bytes",
      figure: figure(slopes),
    });
  }
  return costs;
}
