/**
 * Resident memory: idle, for each queued message, and after everything was consumed. Idle is a server that has
 * served: one message went through it (of the control: one echo), and it rested for 3 s.
 */
import { residentBytes } from "../harness/process-cost.ts";
import { requireAll, type Session, type TopicOptions } from "../harness/session.ts";
import { figure } from "../harness/statistics.ts";
import type { Subject } from "../harness/subject.ts";
import type { Cost } from "../results.ts";
import { both } from "../workloads/both.ts";
import { echo } from "../workloads/echo.ts";
import { ONE_TO_ONE } from "../workloads/workload.ts";
import type { CostContext, CostMeasurement } from "./cost-measurement.ts";
import { drain, fill, Series, withServer } from "./measure.ts";

const SIZE = 128;
const REST_MS = 3_000;
/** Runs in quick mode, where only idle memory is measured. */
const QUICK_RUNS = 3;
/** Messages queued when memory is read; of peers only the first. */
const LEVELS = [100_000, 1_000_000, 10_000_000];
/** When memory is read after the last message was consumed, in ms: it is given back late. */
const AFTER_DRAIN_MS = [1_000, 10_000];

export const memory: CostMeasurement = {
  key: "memory",
  title: "memory: idle, per queued message, after drain",
  modes: ["full", "quick"],
  async measure(context) {
    const series = new Map<string, Series>();
    const { mode, runs } = context.settings;
    for (let run = 0; run < (mode === "quick" ? Math.min(QUICK_RUNS, runs) : runs); run++) {
      for (const subject of context.subjects.filter(({ sameServerAs }) => sameServerAs === undefined)) {
        context.progress.step(`memory, run ${run + 1}: ${subject.name}`);
        const own = series.get(subject.key) ?? new Series();
        series.set(subject.key, own);
        await measureOnce(subject, own, context);
      }
    }
    return [...series].flatMap(([key, own]) => costsOf(key, own));
  },
};

async function measureOnce(subject: Subject, series: Series, context: CostContext): Promise<void> {
  try {
    await withServer(subject, async (session, server) => {
      const resident = (): number => residentBytes(server.pids);
      await (subject.role === "control" ? echo : both).run(session, ONE_TO_ONE, 1);
      await Bun.sleep(REST_MS);
      const idle = resident();
      series.add("memory-idle", idle);
      if (subject.abilities.queue !== true || context.settings.mode === "quick") return;
      const levels = subject.role === "tinymq" ? LEVELS : LEVELS.slice(0, 1);
      await fillLevels(session, levels, (queued) => series.add(`memory-queued/${queued}`, resident() - idle));
      let waited = 0;
      for (const ms of AFTER_DRAIN_MS) {
        await Bun.sleep(ms - waited);
        waited = ms;
        series.add(`memory-after-drain/${ms}`, resident());
        // Of peers once is enough.
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
  onLevel: (queued: number) => void,
): Promise<void> {
  const filled: { topic: TopicOptions; count: number }[] = [];
  let queued = 0;
  for (const level of levels) {
    const topic = topicOf(`memory-${level}`);
    await fill(session, topic, level - queued);
    filled.push({ topic, count: level - queued });
    queued = level;
    onLevel(level);
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
