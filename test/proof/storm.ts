/**
 * A hundred clients that mean harm, all at once, beside a healthy producer and consumer: what the pair feels of
 * them, what the server's process holds, and whether anything that was acknowledged is lost.
 *
 *     bun test/proof/storm.ts --seconds 60 --seed 1 --server default|small|dropping
 *     bun test/proof/storm.ts --each                  every attack alone, for a few seconds
 *     bun test/proof/storm.ts --attacks pings,purge   only these
 *
 * Wants a machine that does nothing else. Exits with 1 where a promise was broken.
 */
import { parseArgs } from "node:util";
import { MiB, mebibytes } from "./load.ts";
import { endServers } from "./server-process.ts";
import { ATTACK_NAMES, type AttackName, PROOFS } from "./storm/attacks.ts";
import type { Latency } from "./storm/pair.ts";
import { type Damage, SERVERS, type ServerName, type Storm, storm } from "./storm/weather.ts";

/** The pair's 99th percentile stays below, in ms. */
const P99_MS = 100;
/** Beside the cap and the idle memory, at a cap of 64 MiB: docs/guarantees.md. More in proportion above it. */
const OVERHEAD = 192 * MiB;
const OVERHEAD_CAP = 64 * MiB;
const FRAME = 1_115_136;
/** First frames and bodies of calls that do not end, and one frame each of 20 streams that have opened. */
const UNFINISHED = 128 * FRAME + 16 * MiB + 20 * FRAME;
/** What waits for those who do not read, as a share of the cap. */
const UNREAD = 3 / 8;

/** What the server's process may hold: the sum of what docs/guarantees.md states. */
export function memoryBound({ idle, memoryLimit }: Damage): number {
  const overhead = Math.max(1, memoryLimit / OVERHEAD_CAP) * OVERHEAD;
  return idle + (1 + UNREAD) * memoryLimit + overhead + UNFINISHED;
}

/** Promises that were broken, but those of time. */
export function broken(damage: Damage, attacks: readonly AttackName[]): string[] {
  const { pair, deeds, errors, peak, dropped } = damage;
  const wrong = errors.map((line) => `the server's log: ${line}`);
  if (pair.failure !== "") wrong.push(`the pair: ${pair.failure}`);
  // An operator who chose `drop-oldest` is told how many that cost.
  if (pair.lost > dropped) wrong.push(`the pair: ${pair.lost} lost, ${dropped} dropped`);
  for (const count of ["tooMany", "outOfOrder"] as const) {
    if (pair[count] > 0) wrong.push(`the pair: ${count} ${pair[count]}`);
  }
  if (pair.acknowledged === 0) wrong.push("the pair: nothing passed through");
  if (peak > memoryBound(damage)) wrong.push(`resident ${mebibytes(peak)}`);
  for (const name of attacks) {
    const done = deeds[name] ?? {};
    if ((done.lost ?? 0) > 0) wrong.push(`${name}: ${done.lost} of ${done.kept} lost`);
    for (const what of PROOFS[name]) if (!done[what]) wrong.push(`${name}: no ${what}`);
    for (const what of Object.keys(done)) if (what.startsWith("error")) wrong.push(`${name}: ${what}`);
  }
  return wrong;
}

const times = ({ p50, p99, max }: Latency) =>
  `p50 ${p50.toFixed(1)}, p99 ${p99.toFixed(1)}, max ${max.toFixed(0)} ms`;

export function describe(damage: Damage): string {
  const { pair, idle, peak, memoryUsed, dropped } = damage;
  return [
    `sent ${pair.sent}, acknowledged ${pair.acknowledged}, rejected ${pair.rejected}, delivered ${pair.delivered}; ` +
      `lost ${pair.lost} (dropped ${dropped}), too many ${pair.tooMany}, out of order ${pair.outOfOrder}`,
    `to acknowledgement: ${times(pair.toAcknowledgement)}; to delivery: ${times(pair.toDelivery)}; ` +
      `the pair's own process paused ${pair.ownPause} ms at most`,
    `resident ${mebibytes(peak)} at most, idle ${mebibytes(idle)}, bound ${mebibytes(memoryBound(damage))}; ` +
      `charged in the end ${mebibytes(memoryUsed)}`,
  ].join("\n");
}

function describeDeeds({ deeds }: Damage): string {
  const line = (done: Record<string, number>) =>
    Object.entries(done)
      .map(([what, times]) => `${what} ${times}`)
      .join(", ");
  return Object.entries(deeds)
    .map(([name, done]) => `  ${name}: ${line(done)}`)
    .join("\n");
}

async function run(plan: Storm): Promise<boolean> {
  const damage = await storm(plan);
  const wrong = broken(damage, plan.attacks);
  for (const each of [damage.pair.toAcknowledgement, damage.pair.toDelivery]) {
    if (each.p99 >= P99_MS) wrong.push(`p99 ${each.p99.toFixed(1)} ms`);
  }
  console.log(`${describe(damage)}\n${describeDeeds(damage)}`);
  for (const line of wrong) console.log(`BROKEN: ${line}`);
  return wrong.length === 0;
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      seconds: { type: "string", default: "60" },
      seed: { type: "string", default: "1" },
      scale: { type: "string", default: "1" },
      server: { type: "string", default: "default" },
      attacks: { type: "string", default: ATTACK_NAMES.join(",") },
      each: { type: "boolean", default: false },
    },
  });
  if (!Object.hasOwn(SERVERS, values.server)) throw new Error(`no server ${values.server}`);
  const attacks = values.attacks.split(",").filter((name) => name !== "") as AttackName[];
  for (const name of attacks) if (!ATTACK_NAMES.includes(name)) throw new Error(`no attack ${name}`);
  const plan = {
    server: values.server as ServerName,
    seconds: Number(values.seconds),
    seed: Number(values.seed),
    scale: Number(values.scale),
  };
  let held = true;
  try {
    for (const some of values.each ? attacks.map((name) => [name]) : [attacks]) {
      console.log(
        `--- ${plan.server}, seed ${plan.seed}, ${some.length === 1 ? some[0] : `${some.length} attacks`}`,
      );
      held = (await run({ ...plan, attacks: some })) && held;
    }
  } finally {
    await endServers();
  }
  process.exitCode = held ? 0 : 1;
}

if (import.meta.main) await main();
