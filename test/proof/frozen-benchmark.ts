/**
 * What frozen clients cost a healthy pair: its throughput alone, and beside a consumer and a subscriber that
 * were stopped (SIGSTOP). Rounds alternate, so that both see the same machine; medians are compared.
 *
 *     bun test ./test/proof/frozen-benchmark.ts          (by its path: it is no test of CI)
 *     TINYMQ_PROOF=long bun test ./test/proof/frozen-benchmark.ts
 */
import { afterAll, expect, test } from "bun:test";
import { join } from "node:path";
import { Consumer } from "../../src/index.ts";
import { ConsumerChild, endConsumers } from "./consumer-child.ts";
import { flood, HOST, MiB } from "./load.ts";
import { endServers, makeFolder, type ServerProcess, startServer } from "./server-process.ts";
import { LONG, until } from "./until.ts";

afterAll(endServers);
afterAll(endConsumers);

const ROUNDS = LONG ? 15 : 7;
const MESSAGES = LONG ? 300_000 : 100_000;
const MESSAGE = 128;

/** Messages a second from one producer to one consumer on a topic that both share. */
async function pair(port: number): Promise<number> {
  const consumer = new Consumer(HOST, port, "live");
  await consumer.initConn();
  const begun = performance.now();
  const consuming = (async () => {
    let handed = 0;
    for await (const _ of consumer) {
      handed += 1;
      if (handed === MESSAGES) break;
    }
  })();
  await flood(port, "live", MESSAGE, 60_000, MESSAGES);
  await consuming;
  const seconds = (performance.now() - begun) / 1000;
  consumer.ack();
  await consumer.close();
  return MESSAGES / seconds;
}

async function freezeSome(server: ServerProcess): Promise<void> {
  const { port } = server;
  const folder = makeFolder();
  const children = [
    new ConsumerChild({
      port,
      topic: "stuck",
      mode: "exclusive",
      way: "loop",
      file: join(folder, "consumer"),
    }),
    new ConsumerChild({
      port,
      topic: "live",
      mode: "exclusive",
      way: "subscribe",
      file: join(folder, "subscriber"),
    }),
  ];
  for (const child of children) await until("a client that is open", () => child.lines().length > 0);
  for (const child of children) child.signal("SIGSTOP");
  // What the frozen consumer pulled fills its connection.
  await flood(port, "stuck", 1_000, 60_000, 20_000);
}

const median = (values: number[]) => values.sort((one, other) => one - other)[values.length >> 1]!;

test("the throughput of a healthy pair beside frozen clients", async () => {
  const alone = await startServer({ maxMemory: 256 * MiB });
  const crowded = await startServer({ maxMemory: 256 * MiB });
  await freezeSome(crowded);
  await pair(alone.port);
  await pair(crowded.port);
  const rates = { alone: [] as number[], crowded: [] as number[] };
  for (let round = 0; round < ROUNDS; round++) {
    rates.alone.push(await pair(alone.port));
    rates.crowded.push(await pair(crowded.port));
  }
  const [one, other] = [median(rates.alone), median(rates.crowded)];
  const { resident, memoryUsed } = await crowded.status();
  console.log(
    `alone ${Math.round(one)} messages/s, beside frozen clients ${Math.round(other)} ` +
      `(${((100 * other) / one - 100).toFixed(1)} %), ${ROUNDS} rounds of ${MESSAGES}; ` +
      `server resident ${Math.round(resident / MiB)} MiB, charged ${Math.round(memoryUsed / MiB)} MiB`,
  );
  expect(other).toBeGreaterThan(0);
}, 600_000);
