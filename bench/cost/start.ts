/**
 * How long a server takes from its start to the first acknowledged message; and what the server process
 * alone costs beside a bare `Bun.serve`: time to ready, and idle memory.
 */
import { closeSync } from "node:fs";
import { bunProgram, shipped } from "../harness/bundles.ts";
import { ClientProcess } from "../harness/client-process.ts";
import { nowMicros } from "../harness/clock.ts";
import { residentBytes } from "../harness/process-cost.ts";
import { freePort, HOST, temporaryFolder } from "../harness/server-process.ts";
import { figure } from "../harness/statistics.ts";
import type { Subject } from "../harness/subject.ts";
import type { Cost } from "../results.ts";
import { clientModule, handover } from "../tinymq/subject.ts";
import type { CostMeasurement } from "./costs.ts";
import { SETTLE_MS, Series } from "./measure.ts";

const MICROS_PER_MS = 1_000;
/** Starts are short and vary: more of them than of other figures. */
const STARTS_PER_RUN = 3;

export const firstAck: CostMeasurement = {
  key: "start",
  title: "start to first acknowledged message",
  modes: ["full"],
  async measure({ subjects, settings, progress, skipped }) {
    const series = new Series();
    for (let run = 0; run < settings.runs; run++) {
      for (const subject of subjects.filter(({ abilities }) => abilities.queue)) {
        progress.step(`start to first acknowledged message: ${subject.name}`);
        try {
          series.add(subject.key, await startToFirstAck(subject));
        } catch (error) {
          skipped[`first message of ${subject.name}`] = String(error).split("\n")[0]!;
        }
      }
    }
    return series.entries().map(([subject, values]) => {
      return { cost: "start-to-first-ack", subject, at: null, unit: "ms", figure: figure(values) };
    });
  },
};

/** In ms; the client's process is there before, with its library loaded. */
async function startToFirstAck(subject: Subject): Promise<number> {
  const client = await ClientProcess.start("bun");
  const began = nowMicros();
  const server = await subject.start();
  try {
    const module = subject.role === "tinymq" ? clientModule("bun") : undefined;
    const target = { host: HOST, port: server.port, module };
    await client.ask("connect", { subject: subject.key, target });
    const open = { topic: "first", size: 128, shared: false, fanOut: false, consumeStyle: "stream" } as const;
    const { at } = await client.ask("firstAck", open);
    return (at - began) / MICROS_PER_MS;
  } finally {
    await client.stop();
    await server.stop();
  }
}

export const bare: CostMeasurement = {
  key: "bare",
  title: "the server process beside a bare Bun.serve",
  modes: ["full", "quick"],
  async measure({ settings, progress }) {
    const series = new Series();
    const control = await bunProgram("control/server.ts", "server.js");
    const tinymq = shipped("cli/daemon/daemon.js");
    for (let run = 0; run < settings.runs * STARTS_PER_RUN; run++) {
      progress.step(`process start and idle memory, start ${run + 1}`);
      const look = run % STARTS_PER_RUN === 0;
      await startOnce("control", () => ({ command: [control, "0"], stdin: "" }), series, look);
      const port = await freePort();
      await startOnce(
        "tinymq",
        (folder) => ({ command: [tinymq], stdin: handover(folder, port) }),
        series,
        look,
      );
    }
    return series.entries().map(([key, values]): Cost => {
      const [cost, subject] = key.split("/");
      const unit = cost === "process-start" ? "ms" : "bytes";
      return { cost: cost!, subject: subject!, at: null, unit, figure: figure(values) };
    });
  },
};

interface Program {
  command: string[];
  stdin: string;
}

/** From spawn to the report on descriptor 3; then, if wanted, memory once it is quiet. */
async function startOnce(
  subject: string,
  program: (folder: string) => Program,
  series: Series,
  look: boolean,
): Promise<void> {
  const folder = temporaryFolder();
  const { command, stdin } = program(folder.path);
  const began = performance.now();
  const child = Bun.spawn([process.execPath, "--no-env-file", ...command], {
    cwd: folder.path,
    stdio: [new TextEncoder().encode(stdin), "ignore", "ignore", "pipe"],
  });
  const stop = (): void => child.kill("SIGTERM");
  process.once("exit", stop);
  try {
    const pipe = child.stdio[3] as number;
    await Bun.file(pipe).text();
    series.add(`process-start/${subject}`, performance.now() - began);
    if (look) {
      await Bun.sleep(SETTLE_MS);
      series.add(`process-idle/${subject}`, residentBytes([child.pid]));
    }
    closeQuietly(pipe);
  } finally {
    process.off("exit", stop);
    stop();
    await child.exited;
    folder.remove();
  }
}

function closeQuietly(descriptor: number): void {
  try {
    closeSync(descriptor);
  } catch {
    // The runtime closed it when it was read to its end.
  }
}
