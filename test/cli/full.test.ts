/** `produce` into a server that is full. */
import { expect, test } from "bun:test";
import { join } from "node:path";
import { CLI, cleanEnvironment, finish, makeState, type State, until, willEnd } from "./support.ts";

async function fullServer() {
  const state = makeState();
  expect((await state.run(["start", "--port", "0", "--max-memory", "1MiB"])).code).toBe(0);
  return state;
}

/** Lines that begin with their number, and are as long as `length` says. */
function numbered(count: number, length: (index: number) => number): string[] {
  return Array.from({ length: count }, (_, index) => `${index} ${"x".repeat(length(index))}`);
}

test("it says exactly how many are stored, and which line was the first that is not", async () => {
  const state = await fullServer();
  const lines = numbered(40, () => 50_000);
  const ran = await state.run(["produce", "orders"], { stdin: lines.join("\n") });
  expect({ code: ran.code, stdout: ran.stdout }).toEqual({ code: 1, stdout: "" });
  const told =
    /^error: line (\d+): the server is full: .*; (\d+) messages stored; --wait waits for room\n$/.exec(
      ran.stderr,
    )!;
  const stored = (await state.run(["consume", "orders"])).stdout;
  expect(stored).toBe(
    lines
      .slice(0, Number(told[2]))
      .map((line) => `${line}\n`)
      .join(""),
  );
  expect(Number(told[1])).toBe(Number(told[2]) + 1);
});

test("smaller messages behind the first that found no room are counted, too", async () => {
  const state = await fullServer();
  const lines = numbered(30, (index) => (index % 3 === 2 ? 10 : 70_000));
  const { stderr } = await state.run(["produce", "orders"], { stdin: lines.join("\n") });
  const told =
    /^error: line (\d+): .*; (\d+) messages stored(?:, (\d+) of them after that line)?; --wait/.exec(stderr)!;
  const [line, stored, behind] = told.slice(1).map((text) => Number(text ?? 0)) as [number, number, number];
  const numbers = (await state.run(["consume", "orders"])).stdout
    .trim()
    .split("\n")
    .map((text) => Number.parseInt(text, 10));
  expect(numbers.length).toBe(stored);
  expect(numbers).not.toContain(line - 1);
  expect(numbers.filter((number) => number < line - 1).length).toBe(line - 1);
  expect(numbers.filter((number) => number > line - 1).length).toBe(behind);
  expect(behind).toBeGreaterThan(0);
});

test("--wait waits for room, and keeps the order", async () => {
  const state = await fullServer();
  const lines = numbered(100, (index) => (index % 3 === 2 ? 10 : 50_000)).map((line) => `${line}\n`);
  const producer = state.spawn(["produce", "orders", "--wait"], { stdin: lines.join("") });
  const full = async () =>
    JSON.parse((await state.run(["topics", "--json"])).stdout)[0]?.counters.rejected > 0;
  await until("a full server", full);
  expect(producer.exitCode).toBeNull();
  const limit = String(lines.length);
  const consumed = await state.run(["consume", "orders", "--follow", "--limit", limit]);
  expect(consumed).toEqual({ code: 0, stdout: lines.join(""), stderr: "" });
  const { code, stderr } = await finish(producer);
  expect(code).toBe(0);
  expect(stderr).toMatch(/^Waiting for room: the server is full: [^\n]+\n100 messages stored in [^\n]+\n$/);
});

test.each(["SIGTERM", "SIGINT"] as const)("--wait that %s ends says how many are stored", async (signal) => {
  const state = await fullServer();
  const lines = numbered(100, () => 50_000);
  const producer = state.spawn(["produce", "orders", "--wait"], { stdin: lines.join("\n") });
  const full = async () =>
    JSON.parse((await state.run(["topics", "--json"])).stdout)[0]?.counters.rejected > 0;
  await until("a full server", full);
  producer.kill(signal);
  const { code, stderr } = await finish(producer);
  expect(code).toBe(1);
  const told = /^Waiting for room: [^\n]+\nerror: interrupted; (\d+) messages stored\n$/.exec(stderr)!;
  const stored = (await state.run(["consume", "orders"])).stdout.trimEnd().split("\n");
  expect(stored).toEqual(lines.slice(0, Number(told[1])));
});

/** `produce` with an input that stays open. */
function produceFrom(state: State, words: readonly string[] = []) {
  return willEnd(
    Bun.spawn([process.execPath, join(CLI, "main.ts"), "produce", "orders", ...words], {
      stdin: "pipe",
      stdout: "pipe",
      stderr: "pipe",
      env: { ...cleanEnvironment(), TINYMQ_HOME: state.home },
    }),
  );
}

test("without --wait, too: of lines that have come, while more may come", async () => {
  const state = await fullServer();
  const producer = produceFrom(state);
  producer.stdin.write("one\ntwo\nthr");
  producer.stdin.flush();
  const two = async () => JSON.parse((await state.run(["topics", "--json"])).stdout)[0]?.ready === 2;
  await until("two messages", two);
  producer.kill("SIGTERM");
  expect(await new Response(producer.stderr).text()).toBe("error: interrupted; 2 messages stored\n");
  expect(await producer.exited).toBe(1);
});

test.each([[[]], [["--wait"]]])("a refused line ends it while its input is idle: %p", async (words) => {
  const state = await fullServer();
  const producer = produceFrom(state, words);
  producer.stdin.write(`one\n${"x".repeat(1_100_000)}\n`);
  producer.stdin.flush();
  expect(await new Response(producer.stderr).text()).toMatch(
    /^error: line 2: the message has 1100\d+ bytes[^\n]*; 1 message stored\n$/,
  );
  expect(await producer.exited).toBe(1);
});

test("--wait: lines that come after the signal do not keep it from ending", async () => {
  const state = await fullServer();
  const producer = produceFrom(state, ["--wait"]);
  producer.stdin.write(numbered(22, () => 50_000).join("\n"));
  producer.stdin.flush();
  const full = async () =>
    JSON.parse((await state.run(["topics", "--json"])).stdout)[0]?.counters.rejected > 0;
  await until("a full server", full);
  producer.kill("SIGTERM");
  for (let line = 0; line < 100 && producer.exitCode === null; line++) {
    try {
      producer.stdin.write("\nlate\n");
      await producer.stdin.flush();
    } catch {
      // It has ended.
      break;
    }
    await Bun.sleep(1);
  }
  expect(await new Response(producer.stderr).text()).toMatch(/\nerror: interrupted; \d+ messages stored\n$/);
  expect(await producer.exited).toBe(1);
});

const TOO_LARGE = `one\n${"x".repeat(1_100_000)}\nthree\n`;
const NEVER_FITS = `one\n${"x".repeat(1_030_000)}\nthree\n`;

test.each([
  ["larger than any message may be", TOO_LARGE, [], /^error: line 2: the message has 1100\d+ bytes/],
  ["larger than any message may be", TOO_LARGE, ["--wait"], /^error: line 2: the message has 1100\d+ bytes/],
  [
    "larger than an empty server has room for",
    NEVER_FITS,
    ["--wait"],
    /^error: line 2: too large: this takes/,
  ],
])("a line that is %s ends it before the next is sent", async (_what, stdin, words, why) => {
  const state = await fullServer();
  const { code, stderr } = await state.run(["produce", "orders", ...words], { stdin });
  expect(code).toBe(1);
  expect(stderr).toMatch(why);
  expect(stderr).toEndWith("; 1 message stored\n");
  expect((await state.run(["consume", "orders"])).stdout).toBe("one\n");
});
