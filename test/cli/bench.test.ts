/** `bench`, with real servers. Its figures are not checked, only that there are some. */
import { beforeAll, describe, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { runBench } from "../../cli/bench/run.ts";
import { askServer } from "../../cli/bench/server.ts";
import { Consumer, Producer, type TinyMQError } from "../../src/index.ts";
import { finish, makeState, type State, until } from "./support.ts";

const LATENCY = {
  p50: expect.any(Number),
  p90: expect.any(Number),
  p99: expect.any(Number),
  p999: expect.any(Number),
  max: expect.any(Number),
};
const SPEED = {
  seconds: expect.any(Number),
  perSecond: expect.any(Number),
  megabytesPerSecond: expect.any(Number),
};
const WELL = {
  exactlyOnce: true,
  missing: 0,
  duplicates: 0,
  damaged: 0,
  foreign: 0,
  outOfOrder: 0,
  left: 0,
};
const PART = expect.any(Number);

const state = makeState();

beforeAll(async () => {
  expect((await state.run(["start", "--port", "0"])).code).toBe(0);
});

/** What `bench --json` prints, parsed; it must succeed and say nothing else. */
async function measured(where: State, ...words: string[]): Promise<Record<string, unknown>> {
  const { code, stdout, stderr } = await where.run(["bench", "--json", ...words]);
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  expect(stdout).toEndWith("}\n");
  return JSON.parse(stdout);
}

async function topics(): Promise<Record<string, unknown>[]> {
  return JSON.parse((await state.run(["topics", "--json"])).stdout);
}

async function topicInfo(topic: string): Promise<Record<string, unknown> | undefined> {
  return (await topics()).find(({ name }) => name === topic);
}

/** How many messages of a topic the server has stored since it began. */
async function produced(topic: string): Promise<number> {
  const counters = (await topicInfo(topic))?.counters as { produced: number } | undefined;
  return counters?.produced ?? 0;
}

function port(): number {
  return state.record()!.port;
}

describe("bench", () => {
  test("prints one JSON object", async () => {
    const result = await measured(state, "--count", "3000");
    const cpu = { producers: [PART], consumers: [PART], server: PART, machine: PART };
    if (process.platform !== "linux") cpu.server = null;
    expect(result).toEqual({
      address: `ws://localhost:${port()}`,
      version: "0.1.0",
      topic: expect.stringMatching(/^tmqserver-bench-[0-9a-f]{12}$/),
      size: 128,
      count: 3_000,
      producers: 1,
      consumers: 1,
      rate: 0,
      messages: 3_000,
      interrupted: false,
      sent: SPEED,
      received: SPEED,
      latencyFrom: "send",
      oneByOneUs: LATENCY,
      acknowledgedUs: LATENCY,
      deliveredUs: LATENCY,
      ...WELL,
      retried: 0,
      rateHeld: null,
      limit: expect.stringMatching(/^(machine|server|producers|consumers|none)$/),
      cpus: expect.any(Number),
      cpu,
    });
    const { perSecond, megabytesPerSecond, seconds } = result.sent as Record<keyof typeof SPEED, number>;
    expect(perSecond * seconds).toBeCloseTo(3_000, -2);
    expect(megabytesPerSecond / ((perSecond * 128) / 1e6)).toBeCloseTo(1, 1);
  });

  test("prints a summary for people, without a progress bar where there is no terminal", async () => {
    const { code, stdout, stderr } = await state.run(["bench", "--count", "2000", "--size", "1KiB"]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(stdout).toStartWith("2,000 messages of 1 KiB, 1 producer, 1 consumer, as fast as it goes\nws://");
    expect(stdout).toMatch(
      /^throughput +messages\/s +MB\/s\nsent +[\d,]+ +[\d.]+\nreceived +[\d,]+ +[\d.]+\n/m,
    );
    expect(stdout).toMatch(/^latency +p50 +p90 +p99 +p99\.9 +max\none by one( +[\d.]+ [µm]?s){5}\n/m);
    expect(stdout).toMatch(/^acknowledged( +[\d.]+ [µm]?s){5}\ndelivered( +[\d.]+ [µm]?s){5}\n/m);
    expect(stdout).toMatch(/^check +every message arrived exactly once/m);
    expect(stdout).toMatch(/^limit +\w/m);
  });

  test("without --count, as many messages as take a while", async () => {
    const result = await measured(state, "--rate", "200");
    expect(result).toMatchObject({ ...WELL, count: 1_000, messages: 1_000, rate: 200, latencyFrom: "due" });
    expect(typeof result.rateHeld).toBe("boolean");
  });

  test("several producers, several consumers", async () => {
    const result = await measured(state, "--count", "10001", "--producers", "3", "--consumers", "2");
    expect(result).toMatchObject({ ...WELL, messages: 10_001, producers: 3, consumers: 2 });
  });

  test("more clients than messages", async () => {
    const result = await measured(state, "--count", "1", "--producers", "3", "--consumers", "3");
    expect(result).toMatchObject({ ...WELL, messages: 1 });
  });

  test("several producers at a rate", async () => {
    const result = await measured(state, "--count", "500", "--producers", "3", "--rate", "2000");
    expect(result).toMatchObject({ ...WELL, messages: 500, acknowledgedUs: LATENCY, deliveredUs: LATENCY });
  });

  test.each([
    ["0", null],
    ["1", null],
    ["7", null],
    ["8", LATENCY],
    ["9", LATENCY],
    ["300KiB", LATENCY],
  ])("bodies of %s bytes", async (size, deliveredUs) => {
    const result = await measured(state, "--size", size, "--count", "50");
    expect(result).toMatchObject({ ...WELL, messages: 50, acknowledgedUs: LATENCY, deliveredUs });
  });

  test("leaves no message behind, nor a connection", async () => {
    await measured(state, "--count", "100");
    const names = (await topics()).filter(({ name }) => String(name).startsWith("tmqserver-bench-"));
    expect(names.length).toBeGreaterThan(0);
    for (const topic of names) {
      expect(topic).toMatchObject({ ready: 0, unacked: 0, producers: 0, consumers: 0 });
    }
  });

  test("a body that the server does not take", async () => {
    const { code, stdout, stderr } = await state.run(["bench", "--size", "2MiB", "--count", "5"]);
    expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
    expect(stderr).toMatch(/^error: the message has \d+ bytes .* the limit is 1048576\n$/);
  });

  test("a server with little memory", async () => {
    const small = makeState();
    expect((await small.run(["start", "--port", "0", "--max-memory", "1MiB"])).code).toBe(0);
    const many = await measured(small, "--count", "20000", "--size", "1KiB");
    expect(many).toMatchObject({ ...WELL, messages: 20_000 });
    const large = await measured(small, "--count", "100", "--size", "100KiB", "--producers", "20");
    expect(large).toMatchObject({ ...WELL, messages: 100 });
  });
});

test("a server with a token", async () => {
  const guarded = makeState();
  const [right, wrong] = [join(guarded.folder, "right"), join(guarded.folder, "wrong")];
  writeFileSync(right, "secret\n", { mode: 0o600 });
  writeFileSync(wrong, "guess\n", { mode: 0o600 });
  expect((await guarded.run(["start", "--port", "0", "--token-file", right])).code).toBe(0);
  expect(await measured(guarded, "--count", "10")).toMatchObject({ ...WELL, messages: 10 });
  const { code, stderr } = await guarded.run(["bench", "--count", "10", "--token-file", wrong]);
  expect(code).toBe(1);
  expect(stderr).toStartWith("error: the token is missing or wrong");
});

describe("a topic that is named", () => {
  test("is used if it is empty and unused, again and again", async () => {
    const words = ["--topic", "mine", "--count", "100"];
    expect(await measured(state, ...words)).toMatchObject({ ...WELL, topic: "mine", messages: 100 });
    expect(await measured(state, ...words)).toMatchObject({ ...WELL, messages: 100 });
  });

  test("is refused if it has messages, which stay", async () => {
    await state.run(["produce", "full"], { stdin: "one\ntwo\n" });
    const { code, stdout, stderr } = await state.run(["bench", "--topic", "full"]);
    expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
    expect(stderr).toStartWith("error: the topic full is in use (2 messages); a bench consumes all");
    expect((await state.run(["consume", "full"])).stdout).toBe("one\ntwo\n");
  });

  test("is refused if somebody uses it", async () => {
    await using consumer = new Consumer("localhost", port(), "used");
    await consumer.initConn();
    const { code, stderr } = await state.run(["bench", "--topic", "used"]);
    expect(code).toBe(1);
    expect(stderr).toStartWith("error: the topic used is in use (1 consumer);");
  });

  test("is refused if its name is none", async () => {
    const { code, stderr } = await state.run(["bench", "--topic", "x".repeat(256)]);
    expect(code).toBe(1);
    expect(stderr).toStartWith("error: a topic name may have at most 255 bytes");
  });
});

describe("trouble", () => {
  /** Far more than is sent before something ends it: a thousand one by one, then a second of warm-up. */
  const ENDLESS = ["--rate", "10000", "--count", "10000000"];
  const MEASURING = 11_100;

  test("a signal ends it with what was measured until then", async () => {
    const program = state.spawn(["bench", "--json", "--topic", "interrupted", ...ENDLESS]);
    await until("the measured part", async () => (await produced("interrupted")) > MEASURING);
    program.kill("SIGINT");
    const { code, stdout, stderr } = await finish(program);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    const result = JSON.parse(stdout);
    expect(result).toMatchObject({ ...WELL, interrupted: true, count: 10_000_000 });
    expect(result.messages).toBeGreaterThan(0);
    expect(result.messages).toBeLessThan(10_000_000);
    expect(await topicInfo("interrupted")).toMatchObject({
      ready: 0,
      unacked: 0,
      producers: 0,
      consumers: 0,
    });
  });

  test("interrupted before anything is measured, it says so", async () => {
    const target = { host: "localhost", port: port(), tls: false, token: "", own: true };
    const plan = { size: 128, count: 0, producers: 1, consumers: 1, rate: 0, topic: "early", ownTopic: true };
    const server = await askServer(target);
    const options = { signal: AbortSignal.abort(), onProgress: () => {} };
    const error = await runBench({ ...plan, target, server }, options).catch((thrown) => thrown);
    expect((error as TinyMQError).code).toBe("CANCELLED");
    expect(await topicInfo("early")).toMatchObject({ ready: 0, unacked: 0, consumers: 0 });
  });

  test("messages that others take, send twice or add are reported", async () => {
    const program = state.spawn([
      "bench",
      "--topic",
      "shared",
      "--consumers",
      "2",
      "--rate",
      "10000",
      "--count",
      "30000",
    ]);
    await until("the measured part", async () => (await produced("shared")) > MEASURING);
    const thief = new Consumer("localhost", port(), "shared", { mode: "shared" });
    await thief.initConn();
    expect(await thief.poll({ wait: "10s" })).not.toBeNull();
    thief.ack();
    await thief.close();
    await using stranger = new Producer("localhost", port(), "shared");
    await stranger.initConn();
    await stranger.sendBatch([
      { id: 0, body: "it had this one" },
      { id: 2 ** 50, body: "and never sent this one" },
    ]);
    const { code, stdout, stderr } = await finish(program);
    expect(code).toBe(1);
    expect(stdout).toMatch(/^received +/m);
    expect(stderr).toBe(
      "error: not every message arrived exactly once, as it was sent: 1 never arrived, 1 arrived more than once, 1 from another producer\n",
    );
  });

  test("messages that the server drops are reported", async () => {
    const small = makeState();
    const options = ["--max-memory", "1MiB", "--overflow", "drop-oldest"];
    expect((await small.run(["start", "--port", "0", ...options])).code).toBe(0);
    // One message of each producer is more than the server can hold.
    const words = ["--size", "100KiB", "--producers", "50", "--count", "500"];
    const { code, stderr } = await small.run(["bench", ...words]);
    expect(code).toBe(1);
    expect(stderr).toMatch(
      /^error: not every message .* never arrived; the server dropped \d+ to make room\n$/,
    );
  });

  test("a server that dies", async () => {
    const victim = makeState();
    expect((await victim.run(["start", "--port", "0"])).code).toBe(0);
    const program = victim.spawn(["bench", ...ENDLESS]);
    const status = async () => JSON.parse((await victim.run(["status", "--json"])).stdout);
    await until("the bench", async () => (await status()).counters.produced > 1_000);
    process.kill(victim.record()!.pid, "SIGKILL");
    const { code, stdout, stderr } = await finish(program);
    expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
    expect(stderr).toMatch(/^error: [^\n]+\n$/);
  });
});
