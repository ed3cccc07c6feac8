/** Producing as fast as it goes, consuming everything, and what the server's process holds meanwhile. */
import { Consumer, Producer, QueueFull } from "../../src/index.ts";
import { residentOf } from "./server-process.ts";

export const HOST = "127.0.0.1";
export const MiB = 1024 * 1024;
export const mebibytes = (bytes: number) => `${(bytes / MiB).toFixed(1)} MiB`;

/** Looks at a process's resident memory again and again, and remembers the most there was. */
export class MemoryWatch {
  peak = 0;
  readonly #timer: ReturnType<typeof setInterval>;

  constructor(pid: number) {
    this.#timer = setInterval(() => {
      this.peak = Math.max(this.peak, residentOf(pid));
    }, 10);
  }

  stop(): number {
    clearInterval(this.#timer);
    return this.peak;
  }
}

export interface Flood {
  /** In order. */
  readonly acknowledged: number[];
  rejected: number;
  sent: number;
}

/** Sends messages of `bytes` bytes for `ms`, up to `most`, whatever the answers are. Throws for all but `QueueFull`. */
export async function flood(
  port: number,
  topic: string,
  bytes: number,
  ms: number,
  most = Number.POSITIVE_INFINITY,
): Promise<Flood> {
  const tally: Flood = { acknowledged: [], rejected: 0, sent: 0 };
  const producer = new Producer(HOST, port, topic);
  await producer.initConn();
  const filling = "x".repeat(bytes);
  const end = performance.now() + ms;
  let failure: unknown;
  const send = (id: number) =>
    producer.send(filling, id).then(
      () => {
        tally.acknowledged.push(id);
      },
      (error) => {
        if (error instanceof QueueFull) tally.rejected += 1;
        else failure ??= error;
      },
    );
  while (performance.now() < end && tally.sent < most && failure === undefined) {
    const group: Promise<void>[] = [];
    for (let each = 0; each < 200 && tally.sent < most; each++) group.push(send(tally.sent++));
    await (producer.unacknowledgedBytes > 4 * MiB ? Promise.all(group) : new Promise(setImmediate));
  }
  await producer.close();
  if (failure !== undefined) throw failure;
  return tally;
}

/** Consumes until nothing came for `wait` ms; returns the ids in order. */
export async function drain(port: number, topic: string, options = {}, wait = 300): Promise<number[]> {
  const consumer = new Consumer(HOST, port, topic, options);
  await consumer.initConn();
  const ids: number[] = [];
  for (let next = await consumer.poll({ wait }); next !== null; next = await consumer.poll({ wait }))
    ids.push(next[0]);
  await consumer.close();
  return ids;
}
