/**
 * The first version's Python client, with this server and with its own. Neither is part of this repository,
 * so two environment variables name their commands:
 *
 *   TINYMQ_BENCH_V0_CLIENT   sends and then receives messages, one at a time, and prints one line of JSON:
 *                            {"seconds": 1.23}. Called with: PORT TOPIC COUNT BYTES
 *   TINYMQ_BENCH_V0_SERVER   serves in the foreground until SIGTERM. Called with: PORT
 *
 * Each is split at spaces; a program with spaces in its name needs a script around it.
 */
import { freePort, ServerProcess } from "../harness/server-process.ts";
import { figure } from "../harness/statistics.ts";
import { tinymq } from "../tinymq/tinymq.ts";
import type { CostMeasurement } from "./cost-measurement.ts";
import { Series } from "./measure.ts";

const MESSAGES = 2_000;
const SIZE = 128;
const TIMEOUT_MS = 60_000;

export const firstVersion: CostMeasurement = {
  key: "first-version",
  title: "the first version's Python client",
  modes: ["full"],
  async measure({ settings, progress, skipped }) {
    const client = words(process.env.TINYMQ_BENCH_V0_CLIENT);
    const server = words(process.env.TINYMQ_BENCH_V0_SERVER);
    if (client === undefined || server === undefined) {
      skipped["the first version's Python client"] =
        "not in this repository: name it with TINYMQ_BENCH_V0_CLIENT and its server with TINYMQ_BENCH_V0_SERVER";
      return [];
    }
    const series = new Series();
    for (let run = 0; run < settings.runs; run++) {
      progress.step(`the first version's client, run ${run + 1}`);
      const ours = await tinymq.start();
      series.add("tinymq", await perSecond(client, ours.port, run).finally(() => ours.stop()));
      const port = await freePort();
      const own = new ServerProcess([...server, String(port)]);
      await own.listens(port);
      series.add("first version", await perSecond(client, port, run).finally(() => own.stop()));
    }
    return series.entries().map(([subject, values]) => {
      return { cost: "first-version-per-second", subject, at: null, unit: "/s", figure: figure(values) };
    });
  },
};

/** Messages that went in and out, a second. */
async function perSecond(client: readonly string[], port: number, run: number): Promise<number> {
  const child = Bun.spawn([...client, String(port), `first-version-${run}`, String(MESSAGES), String(SIZE)], {
    stdio: ["ignore", "pipe", "inherit"],
    timeout: TIMEOUT_MS,
  });
  const { seconds } = JSON.parse(await new Response(child.stdout).text()) as { seconds: number };
  if ((await child.exited) !== 0) throw new Error("the first version's client failed");
  return MESSAGES / seconds;
}

function words(command: string | undefined): string[] | undefined {
  return command === undefined || command === "" ? undefined : command.split(" ");
}
