/** docs/protocol.md and docs/protocol-v0.md do not say what is not so: bytes, limits, close codes, links. */
import { describe, expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { DEFAULT_LIMITS } from "../../src/broker/broker-limits.ts";
import { CODE_NUMBERS } from "../../src/errors.ts";
import { Admin, Counters } from "../../src/gen/tinymq/v1/admin.ts";
import { TinyMQ } from "../../src/gen/tinymq/v1/queue.ts";
import { OPTIONS } from "../../src/server/index.ts";
import * as limits from "../../src/wire/limits.ts";
import { MAX_TOPIC_BYTES } from "../../src/wire/topic-name.ts";
import { ROOT, readSource } from "../repo/sources.ts";
import { message, TestConsumer, TestProducer, unfold } from "../support/clients.ts";
import { World } from "../support/world.ts";
import { startServer, toHex, Wire } from "./support.ts";
import { conversations, refused } from "./vectors.ts";

const page = readFileSync(join(ROOT, "docs/protocol.md"), "utf8");
const pageV0 = readFileSync(join(ROOT, "docs/protocol-v0.md"), "utf8");

/** Whole frames of a page's worked examples: those whose first line is bytes and nothing else. */
function examplesOf(text: string) {
  const lines = text.matchAll(/^(C→S|S→C) {2}((?:[0-9a-f]{2} |… )*[0-9a-f]{2})(?: {2,}.*)?$/gm);
  return [...lines].map(([, from, bytes]) => ({ from: from === "C→S" ? "client" : "server", bytes: bytes! }));
}
const examples = examplesOf(page);

describe("the worked examples", () => {
  test("are there", () => expect(examples.length + examplesOf(pageV0).length).toBeGreaterThanOrEqual(19));

  for (const [text, conversation] of [
    [page, "v1: two messages in, two messages out"],
    [pageV0, "v0: one message in, one message out"],
  ] as const) {
    test(`are what the vectors' conversation sends and receives, in that order: ${conversation}`, () => {
      const { steps } = conversations.find((each) => each.name === conversation)!;
      const wanted = steps.flatMap(({ send, receive, settled, receiveLike }) => {
        if (send !== undefined) return [{ from: "client", hex: send }];
        const hex = receive ?? settled ?? (receiveLike === undefined ? undefined : "");
        return hex === undefined ? [] : [{ from: "server", hex }];
      });
      const shown = examplesOf(text);
      expect(shown.map(({ from }) => from)).toEqual(wanted.map(({ from }) => from));
      for (const [index, { bytes }] of shown.entries()) {
        if (wanted[index]!.hex !== "") expect(bytes.replaceAll(" ", "")).toBe(wanted[index]!.hex);
      }
    });
  }

  test("opened looks as they show it", async () => {
    await using server = await startServer();
    const opened = examples.filter(({ bytes }) => bytes.includes("…"));
    expect(opened).toHaveLength(2);
    for (const [index, method] of ["Produce", "Consume"].entries()) {
      const wire = await Wire.open(server.port, `/tinymq.v1.TinyMQ/${method}`, { protocol: "tinymq.v1" });
      const [before, behind] = opened[index]!.bytes.split("…").map((part) => part.replaceAll(" ", ""));
      const frame = await wire.send("0a0b0a096772656574696e6773").nextHex();
      expect(frame).toStartWith(before!);
      expect(frame).toEndWith(behind!);
      expect(frame.length).toBe(before!.length + 64 + behind!.length);
    }
  });
});

test("every number of the tables is the code's", () => {
  const number = (value: number) => value.toLocaleString("en-US");
  const seconds = (ms: number) => `${ms / 1000} s`;
  const maxFrame = limits.MAX_MESSAGE_BYTES + limits.BATCH_SLACK_BYTES + limits.FRAME_SLACK_BYTES;
  const fallback = (name: string) => number(Number(OPTIONS.find((option) => option.name === name)!.fallback));
  const rows: [limit: string, value: string][] = [
    ["message, as encoded", number(limits.MAX_MESSAGE_BYTES)],
    ["frame", number(maxFrame)],
    ["messages a batch", number(limits.MAX_BATCH_MESSAGES)],
    ["batches without an answer", number(limits.MAX_BATCHES_IN_FLIGHT)],
    ["pulls without an answer", number(limits.MAX_PULLS_IN_FLIGHT)],
    ["first frame", seconds(limits.FIRST_FRAME_MS)],
    ["heartbeat", seconds(limits.HEARTBEAT_MS)],
    ["given up", seconds(limits.HEARTBEAT_MS * limits.DEAD_AFTER_HEARTBEATS)],
    ["producers remembered", number(DEFAULT_LIMITS.maxProducers)],
    ["unique ids remembered", number(DEFAULT_LIMITS.maxUniqueIds)],
    ["memory for messages", `${DEFAULT_LIMITS.maxMemory / limits.MiB} MiB`],
    ["topics", fallback("max-topics")],
    ["connections", fallback("max-connections")],
    ["topic name", `${MAX_TOPIC_BYTES} bytes`],
    ["reason of a settle", number(limits.MAX_REASON_BYTES)],
    ["delay of a rewind", "24 h"],
  ];
  const table = page.slice(page.indexOf("## Limits")).split("\n");
  for (const [limit, value] of rows) {
    const row = table.find((line) => line.startsWith(`| ${limit} | `));
    expect(row, limit).toContain(value);
  }
});

test("numbers that stand in the text are the code's", () => {
  const constant = (file: string, name: string) => {
    const found = readSource(file).match(new RegExp(`const ${name} = ([\\d_]+)( \\* KiB| \\* MiB)?;`));
    const unit = found?.[2] === " * KiB" ? limits.KiB : found?.[2] === " * MiB" ? limits.MiB : 1;
    return Number(found?.[1]?.replaceAll("_", "")) * unit;
  };
  const told: [file: string, name: string, value: number, where: string][] = [
    [
      "src/broker/outbound/dispatcher.ts",
      "MOST_LEASE_RUNS",
      4_096,
      "is in 4,096 [pieces](#settling) or more, its pulls wait",
    ],
    ["src/broker/outbound/topic-consumer.ts", "MOST_PIECES", 16_384, "more than 16,384 closes the stream"],
    ["src/broker/outbound/deaths.ts", "SHORT_REASON_BYTES", 64, "at most 64 while memory is full"],
    ["src/broker/outbound/deaths.ts", "NO_ROOM_MS", 1_000, "tried again each second"],
    ["src/broker/backlog.ts", "MOST_RUNS", 1_024, "A delivery has at most 1,024 runs"],
    ["src/session/consume.ts", "DEFAULT_MESSAGES", 1_024, "mean 1,024 messages and 256 KiB"],
    ["src/session/consume.ts", "DEFAULT_BYTES", 256 * limits.KiB, "mean 1,024 messages and 256 KiB"],
    ["src/wire/limits.ts", "LONGEST_HOLD_MS", 86_400_000, "At most 24 h (else 4003)"],
    ["src/session/consume.ts", "TELL_SETTLED_MS", 5, "some 5 ms after"],
    ["src/server/core.ts", "MAX_UNOPENED", 64, "At most 64 connections may have no open stream"],
    ["src/server/core.ts", "LEAST_UNOPENED", 8, "but at least 8"],
    ["src/server/core.ts", "CLOSE_GRACE_MS", 1_000, "did not take its 1012 within 1 s"],
    ["src/server/admission.ts", "KEPT_MS", 1_000, "has not opened a stream within 1 s is cut"],
    ["src/server/bun-socket.ts", "LINGER_MS", 5_000, "cuts the connection within 5 s"],
    [
      "src/server/server.ts",
      "SOCKET_SLACK_BYTES",
      64 * limits.KiB,
      "more than 64 KiB above `max_frame_bytes`",
    ],
    ["src/server/admin-service.ts", "MAX_TOPICS_A_PAGE", 1_000, "`limit` (at most 1,000)"],
    ["src/server/request-bodies.ts", "MAX_READING", 64, "slower than those of 64 others"],
    ["src/server/request-bodies.ts", "MAX_BYTES", 16 * limits.MiB, "16 MiB of unfinished bodies"],
    ["src/server/request-bodies.ts", "DEADLINE_MS", 5_000, "did not come within 5 s"],
  ];
  for (const [file, name, value, where] of told) {
    expect({ name, value: constant(file, name) }).toEqual({ name, value });
    expect(page).toContain(where);
  }
  expect(DEFAULT_LIMITS.producerMemoryMs).toBe(120_000);
  expect(page).toContain("2 minutes after an unclean end");
});

test("pieces: at 4,096 pulls wait until some are settled, and a settle that leaves more than 16,384 ends the stream", () => {
  const world = new World();
  const producer = new TestProducer(world, "t");
  const total = 40_000;
  for (let first = 0; first <= total; first += 5_000)
    producer.send(Array.from({ length: 5_000 }, (_, each) => message(first + each, "x")));
  const consumer = new TestConsumer(world, "t", "shared");
  for (let held = 0; held < total; held += 5_000)
    expect(consumer.fetch({ max: 5_000, bytes: 1_000_000 })).toHaveLength(5_000);
  const settle = (position: number) => consumer.settle({ position, count: 1, outcome: 0 });
  // Each settled position ends one piece and begins the next.
  const settleEvery = (from: number, to: number) => {
    for (let position = from; position < to; position += 2) settle(position);
  };
  settleEvery(1, 2 * 4_094);
  expect(consumer.fetch({ max: 1 })).toHaveLength(1);
  settle(2 * 4_094 + 1);
  expect(consumer.fetch({ max: 1 })).toEqual([]);
  expect([consumer.fetch({ max: 1, wait: 60_000 }), consumer.closed]).toEqual([[], null]);
  consumer.ack(4);
  expect(consumer.bodies()).toHaveLength(1);
  settleEvery(2 * 4_094 + 3, 2 * 16_386 - 1);
  expect(consumer.closed).toBeNull();
  settle(2 * 16_386 + 1);
  expect(consumer.closed?.code).toBe(4008);
});

test("reasons have 1,024 bytes, and 64 where memory is full", () => {
  const reasonsOf = (maxMemory: number, isFull: boolean) => {
    const world = new World({ maxMemory });
    const producer = new TestProducer(world, "t");
    producer.send([message(1, "y".repeat(900))]);
    const consumer = new TestConsumer(world, "t", "shared");
    consumer.fetch();
    // Each topic takes some, and the last finds no room.
    for (let index = 0; isFull && new TestProducer(world, `${index}`).closed === null; index++);
    consumer.reject(0, 1, "r".repeat(2_000));
    world.broker.limits.maxMemory = limits.MiB;
    world.clock.advance(1_000);
    const dead = new TestConsumer(world, "t.dead");
    dead.pull();
    const { headers } = unfold(dead.take()[1]!).messages[0]!.message;
    return headers["tinymq-dead-reason"]!.length;
  };
  expect([reasonsOf(limits.MiB, false), reasonsOf(64 * limits.KiB, true)]).toEqual([1_024, 64]);
});

test("every counter is explained", () => {
  const table = page.slice(page.indexOf("| counter | messages |")).split("\n\n")[0]!;
  const explained = [...table.matchAll(/^\| `(\w+)` \|/gm)].map(([, name]) => name!);
  expect(explained).toEqual(Counters.fields.map(({ name }) => name));
});

test("every close code is explained: those that vectors earn, and all others as not sent", () => {
  const explained = [...page.matchAll(/^\| (\d{4}) \| ([A-Z_]*)/gm)].map(([, code, name]) => ({
    code: Number(code),
    name,
  }));
  for (const { close, name } of refused)
    expect(
      explained.map(({ code }) => code),
      name,
    ).toContain(close);
  const notSent = page
    .match(/This version does not send ([\d, and]+)\./)![1]!
    .match(/\d+/g)!
    .map(Number);
  const ofGrpc = Object.values(CODE_NUMBERS).map((number) => 4000 + number);
  expect([...explained.map(({ code }) => code).filter((code) => code >= 4000), ...notSent].sort()).toEqual(
    ofGrpc,
  );
  for (const { code, name } of explained) {
    if (code >= 4000) expect(CODE_NUMBERS[name as keyof typeof CODE_NUMBERS]).toBe((code - 4000) as never);
  }
});

test("every method, every kind of frame and its first byte is right", () => {
  for (const { name } of [...TinyMQ.methods, ...Admin.methods]) expect(page).toContain(name);
  const header = "| first byte | Produce, client | Produce, server | Consume, client";
  const table = page.slice(page.indexOf(header)).split("\n\n")[0]!.split("\n").slice(2);
  const columns = TinyMQ.methods.flatMap((method) => [method.I, method.O]);
  for (const [row, line] of table.entries()) {
    const [first, ...kinds] = line
      .split("|")
      .slice(1, -1)
      .map((cell) => cell.trim());
    const number = row + 1;
    expect(first).toBe(`\`${toHex(Uint8Array.of(8 * number + 2))}\``);
    expect(kinds).toEqual(
      columns.map((type) => type.fields.find((field) => field.no === number)?.name ?? ""),
    );
  }
});

test("every link of both pages leads somewhere", () => {
  const anchorsOf = (text: string) =>
    [...text.matchAll(/^#+ (.*)$/gm)].map(([, title]) =>
      title!
        .toLowerCase()
        .replaceAll(/[^\w -]/g, "")
        .replaceAll(" ", "-"),
    );
  for (const text of [page, pageV0]) {
    for (const [, target] of text.matchAll(/\]\((?!https?:)([^)]+)\)/g)) {
      const [file, anchor] = target!.split("#") as [string, string?];
      const path = join(ROOT, "docs", file);
      expect(existsSync(path), target).toBe(true);
      const there = file === "" ? text : readFileSync(path, "utf8");
      if (anchor !== undefined) expect(anchorsOf(there), target).toContain(anchor);
    }
  }
});
