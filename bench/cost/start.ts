/**
 * How long a server takes from the start of its process until a client's first message is acknowledged; the
 * control, until its first echo arrives. The client runs before that, with its library loaded.
 */
import { nowMicros } from "../../cli/bench/measuring/clock.ts";
import { ClientProcess } from "../harness/client-process.ts";
import { HOST } from "../harness/server-process.ts";
import { figure } from "../harness/statistics.ts";
import type { Subject } from "../harness/subject.ts";
import type { CostMeasurement } from "./cost-measurement.ts";
import { Series } from "./measure.ts";

const MICROS_PER_MS = 1_000;
/** Starts are short and vary, so tinyMQ and the control are started more often in a run. */
const STARTS_PER_RUN = 3;

export const start: CostMeasurement = {
  key: "start",
  title: "start to first acknowledged message",
  modes: ["full", "quick"],
  async measure({ subjects, settings, progress, skipped }) {
    const series = new Series();
    const clients = new Map<Subject, ClientProcess>();
    try {
      for (const subject of subjects) {
        if (subject.abilities.queue !== true && subject.role !== "control") continue;
        progress.step(`start to first acknowledged message: ${subject.name}, warm-up`);
        const client = await ClientProcess.start("bun");
        clients.set(subject, client);
        await attempt(subject, client, skipped);
      }
      for (let run = 0; run < settings.runs * STARTS_PER_RUN; run++) {
        for (const [subject, client] of clients) {
          if (subject.role === "peer" && run >= settings.runs) continue;
          progress.step(`start to first acknowledged message: ${subject.name}`);
          const ms = await attempt(subject, client, skipped);
          if (ms !== undefined) series.add(subject.key, ms);
        }
      }
    } finally {
      await Promise.all([...clients.values()].map((client) => client.stop()));
    }
    return series.entries().map(([subject, values]) => {
      return { cost: "start-to-first-ack", subject, at: null, unit: "ms", figure: figure(values) };
    });
  },
};

/** In ms; undefined if it failed, which `skipped` then tells. */
async function attempt(
  subject: Subject,
  client: ClientProcess,
  skipped: Record<string, string>,
): Promise<number | undefined> {
  try {
    return await startToFirstAck(subject, client);
  } catch (error) {
    skipped[`first message of ${subject.name}`] = String(error).split("\n")[0]!;
    return undefined;
  }
}

async function startToFirstAck(subject: Subject, client: ClientProcess): Promise<number> {
  const began = nowMicros();
  const server = await subject.start();
  try {
    const target = { host: HOST, port: server.port, module: subject.clientModule?.("bun") };
    await client.ask("connect", { subject: subject.key, target });
    const open = { topic: "first", size: 128, shared: false, fanOut: false, consumeStyle: "stream" } as const;
    const { at } = await client.ask("firstAck", open);
    return (at - began) / MICROS_PER_MS;
  } finally {
    await server.stop();
  }
}
