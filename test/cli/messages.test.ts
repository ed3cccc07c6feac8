/** `produce`, `consume`, `tail` and `topics`, against a real server. */
import { beforeAll, describe, expect, test } from "bun:test";
import { closeSync, constants, openSync } from "node:fs";
import { join } from "node:path";
import { finish, makeState, type Program, until } from "./support.ts";

const state = makeState();
let topicCount = 0;

beforeAll(async () => {
  expect((await state.run(["start", "--port", "0"])).code).toBe(0);
});

function newTopic(): string {
  topicCount += 1;
  return `topic-${topicCount}`;
}

async function produced(
  topic: string,
  stdin: string | Uint8Array<ArrayBuffer>,
  ...words: string[]
): Promise<void> {
  const { code, stdout, stderr } = await state.run(["produce", topic, ...words], { stdin });
  expect({ code, stdout }).toEqual({ code: 0, stdout: "" });
  expect(stderr).toMatch(/^[\d,]+ messages? stored in [^\n]+\n$/);
}

/** What `consume --json` prints, parsed. */
async function consumed(topic: string, ...words: string[]): Promise<Record<string, unknown>[]> {
  const { code, stdout, stderr } = await state.run(["consume", topic, "--json", ...words]);
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  return stdout
    .split("\n")
    .slice(0, -1)
    .map((line) => JSON.parse(line));
}

async function topicInfo(topic: string): Promise<Record<string, unknown> | undefined> {
  const { stdout } = await state.run(["topics", "--json", "--prefix", topic]);
  return JSON.parse(stdout).find(({ name }: { name: string }) => name === topic);
}

/** The next `count` lines of a program's output. */
async function firstLines(program: Program, count: number): Promise<string[]> {
  let text = "";
  const reader = program.stdout.getReader();
  while (text.split("\n").length <= count) {
    const { value, done } = await reader.read();
    if (done) break;
    text += new TextDecoder().decode(value);
  }
  reader.releaseLock();
  return text.split("\n").slice(0, -1);
}

describe("produce and consume", () => {
  test("lines are messages; a last one without a newline counts, an empty one too", async () => {
    const topic = newTopic();
    await produced(topic, "one\n\nthree\r\nfour");
    expect(await state.run(["consume", topic])).toEqual({
      code: 0,
      stdout: "one\n\nthree\r\nfour\n",
      stderr: "",
    });
    expect(await state.run(["consume", topic])).toEqual({ code: 0, stdout: "", stderr: "" });
  });

  test("no lines are no messages", async () => {
    const { code, stderr } = await state.run(["produce", newTopic()], { stdin: "" });
    expect(code).toBe(0);
    expect(stderr).toStartWith("0 messages stored");
  });

  test("ids count from 0, or from --first-id", async () => {
    const topic = newTopic();
    await produced(topic, "a\nb\n");
    await produced(topic, "c\nd\n", "--first-id", "100");
    expect((await consumed(topic)).map(({ id, body }) => [id, body])).toEqual([
      [0, "a"],
      [1, "b"],
      [100, "c"],
      [101, "d"],
    ]);
  });

  test("JSON in and out", async () => {
    const topic = newTopic();
    const lines = [
      '{"body":"plain"}',
      '{"id":9007199254740991,"body":"ä\\n","headers":{"kind":"x","__proto__":"y"}}',
      '{"bodyBase64":"/wA=","offset":7,"redelivered":true}',
    ];
    await produced(topic, lines.join("\n"), "--json");
    const messages = await consumed(topic);
    expect(messages.map(({ offset: _, ...rest }) => rest)).toEqual([
      { id: 0, body: "plain", headers: {}, redelivered: false },
      {
        id: 9007199254740991,
        body: "ä\n",
        headers: JSON.parse('{"kind":"x","__proto__":"y"}'),
        redelivered: false,
      },
      { id: 2, bodyBase64: "/wA=", headers: {}, redelivered: false },
    ]);
    const offsets = messages.map(({ offset }) => offset as number);
    expect(offsets).toEqual(offsets.toSorted((one, other) => one - other));
  });

  test.each([
    ["nonsense", "it is not JSON"],
    ["[]", "it is not a JSON object"],
    ["{}", "it needs a string as body"],
    ['{"body":1}', "it needs a string as body"],
    ['{"body":"a","bodyBase64":""}', "it needs a string as body"],
    ['{"bodyBase64":"!"}', "its bodyBase64 is not base64"],
    ['{"body":"","id":-1}', "its id is not a whole number"],
    ['{"body":"","id":1.5}', "its id is not a whole number"],
    ['{"body":"","headers":{"a":1}}', "its headers are not an object of strings"],
  ])("the line %s is refused and named; those before it are stored", async (line, why) => {
    const topic = newTopic();
    const { code, stderr } = await state.run(["produce", "--json", topic], {
      stdin: `{"body":"good"}\n${line}\n`,
    });
    expect(code).toBe(1);
    expect(stderr).toStartWith(`error: line 2: ${why}`);
    expect((await consumed(topic)).map(({ body }) => body)).toEqual(["good"]);
  });

  test("a line that is too large is named", async () => {
    const { code, stderr } = await state.run(["produce", newTopic()], {
      stdin: `small\n${"x".repeat(2 ** 21)}\n`,
    });
    expect(code).toBe(1);
    expect(stderr).toStartWith("error: line 2: ");
  });

  test("many messages, in order, over more than any buffer", async () => {
    const topic = newTopic();
    const lines = Array.from({ length: 200_000 }, (_, index) => `${index} ${"x".repeat(index % 300)}`).join(
      "\n",
    );
    await produced(topic, lines);
    const { code, stdout } = await state.run(["consume", topic]);
    expect(code).toBe(0);
    expect(stdout === `${lines}\n`).toBe(true);
    expect(await topicInfo(topic)).toMatchObject({ ready: 0, unacked: 0 });
  });
});

describe("consume", () => {
  test("--limit takes so many and no more", async () => {
    const topic = newTopic();
    await produced(topic, "a\nb\nc\nd\ne\n");
    expect((await state.run(["consume", topic, "--limit", "2"])).stdout).toBe("a\nb\n");
    expect((await consumed(topic, "--limit", "100")).map(({ body }) => body)).toEqual(["c", "d", "e"]);
  });

  test("--follow waits for more, until a signal", async () => {
    const topic = newTopic();
    const follower = state.spawn(["consume", topic, "--follow"]);
    await until("the consumer", async () => (await topicInfo(topic))?.consumers === 1);
    await produced(topic, "first\n");
    expect(await firstLines(follower, 1)).toEqual(["first"]);
    await produced(topic, "second\n");
    expect(await firstLines(follower, 1)).toEqual(["second"]);
    follower.kill("SIGINT");
    expect(await follower.exited).toBe(0);
    expect(await new Response(follower.stderr).text()).toBe("");
    expect(await topicInfo(topic)).toMatchObject({ ready: 0, unacked: 0, consumers: 0 });
  });

  test("when nobody reads any more it ends quietly, and what was not written stays", async () => {
    const topic = newTopic();
    const body = "x".repeat(10_000);
    await produced(topic, Array.from({ length: 200 }, (_, index) => `${index} ${body}`).join("\n"));
    const consumer = state.spawn(["consume", topic]);
    const reader = consumer.stdout.getReader();
    await reader.read();
    await reader.cancel();
    expect(await consumer.exited).toBe(0);
    expect(await new Response(consumer.stderr).text()).toBe("");
    const left = await consumed(topic);
    expect(left.length).toBeGreaterThan(100);
    const numbers = left.map((message) => Number.parseInt(message.body as string, 10));
    expect(numbers).toEqual(Array.from({ length: left.length }, (_, index) => 200 - left.length + index));
  });

  test("what is not written when it is killed stays", async () => {
    const topic = newTopic();
    await produced(
      topic,
      Array.from({ length: 50 }, (_, index) => `${index} ${"x".repeat(10_000)}`).join("\n"),
    );
    // Nobody reads, so that it stands still with a full pipe.
    const fifo = join(state.folder, "fifo");
    Bun.spawnSync(["mkfifo", fifo]);
    const pipe = openSync(fifo, constants.O_RDWR);
    const consumer = state.spawn(["consume", topic], { stdout: pipe });
    closeSync(pipe);
    await until("messages on their way", async () => Number((await topicInfo(topic))?.unacked) > 0);
    consumer.kill("SIGKILL");
    await consumer.exited;
    await until("their return", async () => (await topicInfo(topic))?.unacked === 0);
    const left = await consumed(topic);
    expect(left.at(-1)!.body).toStartWith("49 ");
    expect(left.length).toBeGreaterThan(25);
  });

  test("a second exclusive consumer is refused; a standby takes over", async () => {
    const topic = newTopic();
    const holder = state.spawn(["consume", topic, "--follow"]);
    await until("the holder", async () => (await topicInfo(topic))?.consumers === 1);
    const refused = await state.run(["consume", topic]);
    expect({ code: refused.code, stdout: refused.stdout }).toEqual({ code: 1, stdout: "" });
    expect(refused.stderr).toMatch(/^error: /);
    const standby = state.spawn(["consume", topic, "--mode", "standby", "--follow", "--limit", "1"]);
    await until("the standby", async () => (await topicInfo(topic))?.standbys === 1);
    holder.kill("SIGTERM");
    await holder.exited;
    await produced(topic, "late\n");
    expect(await finish(standby)).toEqual({ code: 0, stdout: "late\n", stderr: "" });
  });

  test("shared consumers each get some, and together all", async () => {
    const topic = newTopic();
    const sharers = [1, 2].map(() => state.spawn(["consume", topic, "--mode", "shared", "--follow"]));
    await until("both consumers", async () => (await topicInfo(topic))?.consumers === 2);
    await produced(topic, Array.from({ length: 100 }, (_, index) => `${index}\n`).join(""));
    await until("all to be consumed", async () => {
      const info = await topicInfo(topic);
      return info?.ready === 0 && info.unacked === 0;
    });
    for (const sharer of sharers) sharer.kill("SIGTERM");
    const outputs = await Promise.all(sharers.map(finish));
    const lines = outputs.flatMap(({ stdout }) => stdout.split("\n").slice(0, -1));
    expect(lines.map(Number).sort((one, other) => one - other)).toEqual(
      Array.from({ length: 100 }, (_, index) => index),
    );
  });
});

describe("tail", () => {
  test("sees what is sent, and consumes nothing", async () => {
    const topic = newTopic();
    const watcher = state.spawn(["tail", topic, "--json", "--limit", "2"]);
    await until("the subscriber", async () => (await topicInfo(topic))?.subscribers === 1);
    await produced(topic, "a\nb\nc\n");
    const { code, stdout, stderr } = await finish(watcher);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(stdout).toBe('{"id":0,"body":"a","headers":{}}\n{"id":1,"body":"b","headers":{}}\n');
    expect((await consumed(topic)).length).toBe(3);
  });

  test("says how many messages it missed", async () => {
    const topic = newTopic();
    const watcher = state.spawn(["tail", topic]);
    await until("the subscriber", async () => (await topicInfo(topic))?.subscribers === 1);
    // It stands still while far more is sent than it may buffer.
    watcher.kill("SIGSTOP");
    const line = "x".repeat(1_000);
    await produced(topic, Array.from({ length: 30_000 }, () => line).join("\n"));
    watcher.kill("SIGCONT");
    let seen = 0;
    const reading = (async () => {
      for await (const chunk of watcher.stdout) seen += chunk.filter((byte) => byte === 10).length;
    })();
    let told = "";
    let missed = 0;
    for await (const chunk of watcher.stderr) {
      told += new TextDecoder().decode(chunk);
      missed = [...told.matchAll(/^warning: ([\d,]+) messages? missed$/gm)]
        .map(([, count]) => Number(count!.replaceAll(",", "")))
        .reduce((sum, count) => sum + count, 0);
      if (missed > 0) break;
    }
    expect(missed).toBeGreaterThan(0);
    await until("the rest", () => seen + missed >= 30_000);
    watcher.kill("SIGINT");
    expect(await watcher.exited).toBe(0);
    await reading;
    expect(seen + missed).toBe(30_000);
  });
});

describe("topics", () => {
  test("lists them, for people and for programs", async () => {
    const topic = newTopic();
    await produced(topic, "a\nb\n");
    const { code, stdout } = await state.run(["topics", "--prefix", topic]);
    expect(code).toBe(0);
    expect(stdout).toMatch(
      /^topic +ready +unacked +delayed +memory +producers +consumers +standbys +subscribers\n/,
    );
    expect(stdout).toMatch(new RegExp(`^${topic} +2 +0 +0 `, "m"));
    expect(await topicInfo(topic)).toMatchObject({
      name: topic,
      ready: 2,
      counters: { produced: 2, acked: 0 },
    });
    expect((await state.run(["topics", "--prefix", "none"])).stdout).toBe("There are no topics.\n");
    expect((await state.run(["topics", "--prefix", "none", "--json"])).stdout).toBe("[]\n");
  });

  test("purge", async () => {
    const topic = newTopic();
    await produced(topic, "a\nb\n");
    expect(await state.run(["topics", "purge", topic])).toMatchObject({
      code: 0,
      stdout: `2 messages purged from ${topic}\n`,
    });
    expect(await consumed(topic)).toEqual([]);
    expect(await state.run(["topics", "purge", "nowhere"])).toMatchObject({ code: 1, stdout: "" });
  });

  test("redrive", async () => {
    const topic = newTopic();
    await produced(`${topic}.dead`, "a\nb\nc\n");
    const moved = await state.run(["topics", "redrive", topic, "--limit", "2"]);
    expect(moved).toMatchObject({ code: 0, stdout: `2 messages moved back to ${topic}\n` });
    expect((await consumed(topic)).map(({ body }) => body)).toEqual(["a", "b"]);
    expect((await state.run(["topics", "redrive", topic])).stdout).toBe(`1 message moved back to ${topic}\n`);
  });
});

describe("where there is no server", () => {
  test.each(["produce x", "consume x", "tail x", "topics", "status", "bench"])("%s says so", async (line) => {
    const free = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
    const { port } = free;
    free.stop(true);
    const words = [...line.split(" "), "--port", String(port)];
    const { code, stdout, stderr } = await state.run(words, { stdin: "a\n" });
    expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
    expect(stderr).toStartWith("error: ");
    expect(stderr).toContain(`localhost:${port}`);
    expect(stderr).not.toContain("    at ");
  });
});
