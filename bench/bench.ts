/** A whole run of the bench: workloads, then costs. */
import { COSTS } from "./cost/costs.ts";
import { versionOf } from "./harness/server-process.ts";
import type { Runtime, Subject } from "./harness/subject.ts";
import { describeMachine } from "./machine.ts";
import { makePlan, type Part } from "./plan.ts";
import { Progress } from "./progress.ts";
import type { Cost, Results, SubjectRecord } from "./results.ts";
import { type CellResult, Runner } from "./runner.ts";
import { chosenSubjects, type Settings } from "./settings.ts";

/** Runs everything that the settings ask for. What fails is in the results. */
export async function measureAll(settings: Settings, command: string): Promise<Results> {
  const progress = new Progress();
  const began = new Date().toISOString();
  const machine = await describeMachine();
  const skipped: Record<string, string> = {};
  const { subjects, versions } = await findSubjects(settings, skipped, progress);
  const runtimes: Runtime[] =
    (await versionOf(["node", "--version"])) === undefined ? ["bun"] : ["bun", "node"];
  if (runtimes.length === 1) skipped.Node = "not installed: clients run in Bun only";
  const parts = makePlan({ ...settings, subjects, runtimes }).filter(({ key }) => wanted(settings, key));
  const costs = COSTS.filter(
    ({ key, modes }) =>
      wanted(settings, key) && modes.includes(settings.mode) && settings.against === undefined,
  );
  progress.expect(parts.length + costs.length);
  const runner = new Runner(settings, progress);
  const records = new Map<string, SubjectRecord>();
  try {
    const cells = await runParts(parts, runner, progress);
    for (const subject of subjects) records.set(subject.key, describe(subject, versions, runner));
    await runner.close();
    const costed: Cost[] = [];
    for (const cost of costs) {
      progress.part(cost.title);
      costed.push(...(await cost.measure({ settings, subjects, progress, skipped })));
    }
    progress.end();
    return {
      began,
      seconds: progress.seconds,
      mode: settings.mode,
      runs: settings.runs,
      secondsPerRun: settings.seconds,
      command,
      machine,
      subjects: [...records.values()],
      skipped,
      cells,
      costs: costed,
    };
  } finally {
    await runner.close();
  }
}

function wanted({ only }: Settings, key: string): boolean {
  return only === undefined || only.has(key);
}

async function findSubjects(settings: Settings, skipped: Record<string, string>, progress: Progress) {
  const subjects: Subject[] = [];
  const versions = new Map<string, string>();
  for (const subject of chosenSubjects(settings)) {
    const found = await subject.find();
    if ("missing" in found) {
      skipped[subject.name] = `not installed: ${found.missing}`;
      progress.note(`${subject.name} is skipped: ${found.missing}`);
      continue;
    }
    subjects.push(subject);
    versions.set(subject.key, found.version);
  }
  return { subjects, versions };
}

async function runParts(parts: readonly Part[], runner: Runner, progress: Progress): Promise<CellResult[]> {
  const results: CellResult[] = [];
  const saturated = new Set<string>();
  for (const part of parts) {
    const cells = part.cells.filter(({ subject, runtime, workload }) => {
      return workload.fixedCount === undefined || !saturated.has(`${subject.key}/${runtime}`);
    });
    progress.part(part.title);
    // With the control's echo alone there is nothing to measure.
    if (!cells.some(({ subject }) => subject.role !== "control")) continue;
    for (const result of await runner.measure(part.title, cells)) {
      results.push(result);
      // A subject that falls behind at this rate is not run at higher ones.
      const behind = result.error !== undefined || (result.figures.saturated?.median ?? 0) > 0;
      if (result.workload === "rate" && behind) saturated.add(`${result.subject}/${result.runtime}`);
    }
  }
  return results;
}

function describe(subject: Subject, versions: Map<string, string>, runner: Runner): SubjectRecord {
  const server = runner.servers.get(subject.key);
  return {
    key: subject.key,
    name: subject.name,
    role: subject.role,
    version: versions.get(subject.key) ?? "",
    client: subject.client,
    promise: subject.promise,
    command: server?.command ?? "",
    settings: server?.settings ?? "",
  };
}
