/**
 * A hundred hostile clients beside a healthy pair, for some seconds: what was acknowledged arrives, once and in
 * order, memory stays bounded, the server answers in the end, and each attack really took place. How long the pair
 * waits is printed: a stopwatch says little on a machine that others use (`bun test/proof/storm.ts` is for that).
 */
import { afterAll, expect, test } from "bun:test";
import { endServers } from "./server-process.ts";
import { ATTACK_NAMES } from "./storm/attacks.ts";
import { storm } from "./storm/weather.ts";
import { broken, describe } from "./storm.ts";
import { newSeed } from "./until.ts";

afterAll(endServers);

for (const server of ["small", "dropping"] as const) {
  test(`every attack at once, on a server that is ${server}: nothing acknowledged is lost, memory is bounded`, async () => {
    const seed = newSeed();
    const damage = await storm({ server, seconds: 6, seed, scale: 0.05, attacks: ATTACK_NAMES });
    console.log(`seed ${seed}, ${server}: ${describe(damage)}`);
    expect(broken(damage, ATTACK_NAMES)).toEqual([]);
  }, 120_000);
}
