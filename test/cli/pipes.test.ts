/** `consume` into a pipe whose reader goes away, or that a signal ends: what the pipe took is acknowledged, and nothing else. */
import { expect, test } from "bun:test";
import { closeSync, constants, openSync, readSync } from "node:fs";
import { join } from "node:path";
import { finish, makeState, type State, until } from "./support.ts";

async function topicInfo(state: State) {
  return JSON.parse((await state.run(["topics", "--json"])).stdout)[0];
}

/** All that a pipe holds. */
function drain(pipe: number): string {
  const chunk = Buffer.alloc(64 * 1024);
  let text = "";
  while (true) {
    try {
      const count = readSync(pipe, chunk);
      if (count === 0) return text;
      text += chunk.toString("utf8", 0, count);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "EAGAIN") return text;
      throw error;
    }
  }
}

/** A consumer of the topic `orders` whose pipe fills, and what was taken from it. */
async function stuckConsumer(state: State, words: readonly string[]) {
  const fifo = join(state.folder, "fifo");
  Bun.spawnSync(["mkfifo", fifo]);
  const reader = openSync(fifo, constants.O_RDONLY | constants.O_NONBLOCK);
  const writer = openSync(fifo, constants.O_WRONLY);
  const consumer = state.spawn(words, { stdout: writer });
  closeSync(writer);
  let taken = "";
  await until("the first messages", () => {
    taken += drain(reader);
    return taken !== "";
  });
  return { consumer, reader, taken };
}

test.each(["SIGINT", "SIGTERM"] as const)("%s while it prints: nothing comes twice", async (signal) => {
  const state = makeState();
  expect((await state.run(["start", "--port", "0"])).code).toBe(0);
  const lines = Array.from({ length: 300 }, (_, index) => `${index} ${"x".repeat(3_000)}\n`);
  await state.run(["produce", "orders"], { stdin: lines.join("") });
  const { consumer, reader, taken: first } = await stuckConsumer(state, ["consume", "orders", "--follow"]);
  // Twice, as `timeout` and terminals do.
  consumer.kill(signal);
  consumer.kill(signal);
  await Bun.sleep(100);
  let taken = first;
  while (consumer.exitCode === null) {
    taken += drain(reader);
    await Bun.sleep(1);
  }
  taken += drain(reader);
  closeSync(reader);
  expect(consumer.exitCode).toBe(0);
  expect(taken).toEndWith("\n");
  expect(taken.length).toBeLessThan(lines.join("").length);
  const rest = await finish(state.spawn(["consume", "orders"]));
  expect(taken + rest.stdout === lines.join("")).toBe(true);
});

test("not one message more, and not one less", async () => {
  const state = makeState();
  expect((await state.run(["start", "--port", "0"])).code).toBe(0);
  const lines = Array.from({ length: 300 }, (_, index) => `${index} ${"x".repeat(3_000)}\n`);
  await state.run(["produce", "orders"], { stdin: lines.join("") });

  const { consumer, reader, taken: first } = await stuckConsumer(state, ["consume", "orders"]);
  // What it holds is counted while nothing can be added: the consumer stands still until its reader has gone.
  consumer.kill("SIGSTOP");
  const ps = ["ps", "-o", "stat=", "-p", String(consumer.pid)];
  await until("a standstill", () => Bun.spawnSync(ps).stdout.toString().trim().startsWith("T"));
  const taken = first + drain(reader);
  closeSync(reader);
  consumer.kill("SIGCONT");
  expect(await consumer.exited).toBe(0);
  expect(await new Response(consumer.stderr).text()).toBe("");

  const whole = taken.split("\n").length - 1;
  expect(whole).toBeWithin(1, lines.length);
  expect(taken.startsWith(lines.slice(0, whole).join(""))).toBe(true);
  expect(await topicInfo(state)).toMatchObject({ ready: lines.length - whole, unacked: 0 });
  const rest = await finish(state.spawn(["consume", "orders"]));
  expect(rest.stdout).toBe(lines.slice(whole).join(""));
});
