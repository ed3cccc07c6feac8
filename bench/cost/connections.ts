/** Resident memory of tinyMQ for each connection and for each topic. */
import { residentBytes } from "../harness/process-cost.ts";
import type { Session } from "../harness/session.ts";
import { figure } from "../harness/statistics.ts";
import type { Cost } from "../results.ts";
import type { CostMeasurement } from "./cost-measurement.ts";
import { Series, withServer } from "./measure.ts";

/** Memory is read after this, in ms. */
const SETTLE_MS = 1_000;
const SIZE = 128;
const CONNECTIONS = [1, 100, 1_000, 10_000];
const TOPICS = [1, 100, 1_000, 10_000, 100_000];

export const connections: CostMeasurement = {
  key: "connections",
  title: "memory per connection and per topic",
  modes: ["full"],
  async measure({ subjects, settings, progress, skipped }) {
    const subject = subjects.find(({ role }) => role === "tinymq");
    if (subject === undefined) return [];
    const series = new Series();
    for (let run = 0; run < settings.runs; run++) {
      progress.step(`memory per connection, run ${run + 1}`);
      await withServer(subject, (session, { pids }) => openLevels(session, pids, series, skipped));
      progress.step(`memory per topic, run ${run + 1}`);
      await withServer(subject, (session, { pids }) => nameLevels(session, pids, series));
    }
    return costsOf(subject.key, series);
  },
};

async function openLevels(
  session: Session,
  pids: readonly number[],
  series: Series,
  skipped: Record<string, string>,
): Promise<void> {
  await Bun.sleep(SETTLE_MS);
  const idle = residentBytes(pids);
  const open = {
    topic: "connections",
    size: SIZE,
    shared: false,
    fanOut: false,
    consumeStyle: "stream",
  } as const;
  let there = 0;
  for (const level of CONNECTIONS) {
    try {
      await session.producer.ask("openProducers", { ...open, connections: level - there });
    } catch (error) {
      skipped[`${level} connections`] = `${String(error).split("\n")[0]} (ulimit -n?)`;
      break;
    }
    there = level;
    await Bun.sleep(SETTLE_MS);
    series.add(`connection/${level}`, (residentBytes(pids) - idle) / level);
  }
  await session.producer.ask("closeAll", null);
}

/** A topic stays for minutes after its last client is closed. */
async function nameLevels(session: Session, pids: readonly number[], series: Series): Promise<void> {
  await Bun.sleep(SETTLE_MS);
  const idle = residentBytes(pids);
  let there = 0;
  for (const level of TOPICS) {
    const run = { prefix: "topic-", from: there, to: level, size: SIZE };
    await session.producer.ask("nameTopics", run);
    there = level;
    await Bun.sleep(SETTLE_MS);
    series.add(`topic/${level}`, (residentBytes(pids) - idle) / level);
  }
}

/** Of each level, and what one more costs where there are many: between the lowest level and the highest. */
function costsOf(subject: string, series: Series): Cost[] {
  const costs: Cost[] = [];
  const extremes = new Map<string, { least: Level; most: Level }>();
  for (const [key, values] of series.entries()) {
    const [cost, level] = key.split("/");
    const at = Number(level);
    costs.push({ cost: `memory-per-${cost}`, subject, at, unit: "bytes", figure: figure(values) });
    extremes.set(cost!, { least: extremes.get(cost!)?.least ?? { at, values }, most: { at, values } });
  }
  for (const [cost, { least, most }] of extremes) {
    const slopes = most.values.map(
      (bytes, run) => (bytes * most.at - least.values[run]! * least.at) / (most.at - least.at),
    );
    const unit = "bytes";
    costs.push({ cost: `memory-per-further-${cost}`, subject, at: most.at, unit, figure: figure(slopes) });
  }
  return costs;
}

interface Level {
  at: number;
  /** Bytes of each, one value a run. */
  values: number[];
}
