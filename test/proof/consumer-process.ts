/**
 * A consumer in a process of its own, to be killed. It writes to a file what it does, one line each, each
 * before the next step: `seen ID TIME` when a message was handed out, `told ID TIME` when the server has
 * answered a request that carried its acknowledgement. TIME is ms since 1970.
 *
 * Started with a JSON object as argument.
 */
import { openSync, writeSync } from "node:fs";
import { Consumer, type ConsumerOptions, Subscriber } from "../../src/index.ts";

export interface ConsumerJob {
  port: number;
  topic: string;
  mode: NonNullable<ConsumerOptions["mode"]>;
  file: string;
  /**
   * `one-by-one`: a round trip each. `hold`: polls `count`, acknowledges `ack` of them, and then waits.
   * `subscribe`: subscribes, and consumes nothing.
   */
  way: "one-by-one" | "loop" | "hold" | "subscribe";
  count?: number;
  ack?: number;
}

if (import.meta.main) await work(JSON.parse(process.argv[2]!) as ConsumerJob);

async function work(job: ConsumerJob): Promise<void> {
  const file = openSync(job.file, "a");
  const note = (line: string) => writeSync(file, `${line}\n`);
  if (job.way === "subscribe") return subscribe(job, note);
  const prefetch = job.way === "one-by-one" ? 1 : undefined;
  const consumer = new Consumer("127.0.0.1", job.port, job.topic, {
    mode: job.mode,
    prefetch,
    autoAck: job.way !== "hold",
  });
  await consumer.initConn();
  note(`open ${consumer.state}`);
  if (job.way === "loop") await loop(consumer, note);
  else if (job.way === "hold") await hold(consumer, job, note);
  else await oneByOne(consumer, note);
}

/** With a prefetch of 1 every poll is a request of its own, which carries the last acknowledgement. */
async function oneByOne(consumer: Consumer, note: (line: string) => void): Promise<void> {
  let last: number | undefined;
  for (;;) {
    const next = await consumer.poll({ wait: 60_000 });
    if (last !== undefined) note(`told ${last} ${Date.now()}`);
    if (next === null) continue;
    last = next[0];
    note(`seen ${last} ${Date.now()}`);
  }
}

async function subscribe(job: ConsumerJob, note: (line: string) => void): Promise<void> {
  const subscriber = new Subscriber("127.0.0.1", job.port, job.topic);
  await subscriber.initConn();
  note("open");
  for await (const { id } of subscriber) note(`seen ${id} ${Date.now()}`);
}

async function loop(consumer: Consumer, note: (line: string) => void): Promise<void> {
  let handed = 0;
  for await (const { id } of consumer) {
    note(`seen ${id} ${Date.now()}`);
    handed += 1;
    // Slow enough to be killed in the middle of what it holds.
    if (handed % 16 === 0) await Bun.sleep(1);
  }
}

/** Acknowledges once, and then again and again whatever was handed out, to see whether that changes anything. */
async function hold(consumer: Consumer, job: ConsumerJob, note: (line: string) => void): Promise<void> {
  const { count = 0, ack = 0 } = job;
  for (let polled = 0; polled < count; polled++) {
    if (polled === ack) consumer.ack();
    const next = await consumer.poll({ wait: 10_000 });
    if (next === null) throw new Error(`only ${polled} messages came`);
    note(`seen ${next[0]} ${Date.now()}`);
  }
  note("held");
  let last = "";
  for (;;) {
    await Bun.sleep(5);
    // While the test counts, what was polled behind `ack` stays; when it says so, all is acknowledged.
    if (!(await Bun.file(`${job.file}.ack`).exists())) continue;
    try {
      consumer.ack();
      if (last !== "acked") note("acked");
      last = "acked";
    } catch (error) {
      const { name } = error as Error;
      if (last !== name) note(name);
      last = name;
    }
  }
}
