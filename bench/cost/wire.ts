/** Bytes on the wire: everything that both sides of a run send and receive, counted by a relay between them. */
import { HOST } from "../harness/server-process.ts";
import { Session } from "../harness/session.ts";
import { figure } from "../harness/statistics.ts";
import type { Subject } from "../harness/subject.ts";
import type { Cost } from "../results.ts";
import { both } from "../workloads/both.ts";
import { ONE_TO_ONE } from "../workloads/workload.ts";
import type { CostMeasurement } from "./cost-measurement.ts";

const MESSAGES = 20_000;
const QUICK_MESSAGES = 10_000;

export const wire: CostMeasurement = {
  key: "wire",
  title: "bytes on the wire per message of 128 B",
  modes: ["full", "quick"],
  async measure({ subjects, settings, progress, skipped }) {
    const costs: Cost[] = [];
    for (const subject of subjects.filter(({ abilities }) => abilities.queue || abilities.lossy)) {
      progress.step(`bytes on the wire: ${subject.name}`);
      try {
        const messages = settings.mode === "quick" ? QUICK_MESSAGES : MESSAGES;
        const bytes = await bytesPerMessage(subject, settings.runs, messages);
        const at = ONE_TO_ONE.size;
        costs.push({
          cost: "wire-per-message",
          subject: subject.key,
          at,
          unit: "bytes",
          figure: figure(bytes),
        });
      } catch (error) {
        skipped[`bytes on the wire of ${subject.name}`] = String(error).split("\n")[0]!;
      }
    }
    return costs;
  },
};

/** One value a run; connecting and closing are counted with the messages. */
async function bytesPerMessage(subject: Subject, runs: number, messages: number): Promise<number[]> {
  const server = await subject.start();
  const relay = new Relay(server.port);
  try {
    const session = await Session.open(subject, "bun", server, relay.port);
    const parameters = { ...ONE_TO_ONE, produceStyle: subject.abilities.produceStyles?.[0] ?? "send" };
    try {
      const values: number[] = [];
      for (let run = 0; run < runs; run++) {
        const before = relay.bytes;
        await both.run(session, parameters, messages);
        values.push((relay.bytes - before) / messages);
      }
      return values;
    } finally {
      await session.close();
    }
  } finally {
    relay.stop();
    await server.stop();
  }
}

interface End {
  /** The other side; undefined until it is connected, and when it is gone. */
  peer: Bun.Socket<End> | undefined;
  /** Bytes that arrived before that, or that the socket could not take yet. */
  waiting: Uint8Array[];
}

/** Passes bytes on, both ways, and counts them. */
class Relay {
  bytes = 0;
  readonly #listener: Bun.TCPSocketListener<End>;

  constructor(port: number) {
    const relay = this;
    const socket: Bun.SocketHandler<End> = {
      data(from, chunk) {
        relay.bytes += chunk.length;
        const { peer } = from.data;
        if (peer === undefined) from.data.waiting.push(new Uint8Array(chunk));
        else write(peer, chunk);
      },
      drain: flush,
      close({ data }) {
        data.peer?.end();
      },
      error() {},
    };
    this.#listener = Bun.listen<End>({
      hostname: HOST,
      port: 0,
      socket: {
        ...socket,
        open(client) {
          client.data = { peer: undefined, waiting: [] };
          void Bun.connect<End>({
            hostname: HOST,
            port,
            data: { peer: client, waiting: [] },
            socket: {
              ...socket,
              open(upstream) {
                const early = client.data.waiting;
                client.data = { peer: upstream, waiting: [] };
                for (const chunk of early) write(upstream, chunk);
              },
            },
          });
        },
      },
    });
  }

  get port(): number {
    return this.#listener.port;
  }

  stop(): void {
    this.#listener.stop(true);
  }
}

/** Bytes that the socket cannot take now wait for its `drain`. */
function write(to: Bun.Socket<End>, chunk: Uint8Array): void {
  const { waiting } = to.data;
  const written = waiting.length > 0 ? 0 : Math.max(0, to.write(chunk));
  if (written < chunk.length) waiting.push(new Uint8Array(chunk.subarray(written)));
}

function flush(to: Bun.Socket<End>): void {
  const { waiting } = to.data;
  while (waiting.length > 0) {
    const chunk = waiting[0]!;
    const written = Math.max(0, to.write(chunk));
    if (written < chunk.length) {
      waiting[0] = chunk.subarray(written);
      return;
    }
    waiting.shift();
  }
}
