/** The server's log: its lines, and that its file stays small. */
import { afterAll, describe, expect, test } from "bun:test";
import {
  closeSync,
  existsSync,
  lstatSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { LineLoggerOptions } from "../../cli/daemon/line-logger.ts";

const folder = mkdtempSync(join(tmpdir(), "tinymq-logger-"));
const SOURCE = JSON.stringify(join(import.meta.dir, "../../cli/daemon/line-logger.ts"));

afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Runs `body` with a `logger` in a process whose standard error is the log; returns what was logged. */
async function log(options: Partial<LineLoggerOptions>, body: string): Promise<string> {
  const file = options.file || join(folder, `${crypto.randomUUID()}.log`);
  const descriptor = openSync(file, "a", 0o600);
  const settings = { level: "info", format: "text", file: "", ...options };
  const script = `
    import { createLineLogger } from ${SOURCE};
    const logger = createLineLogger(${JSON.stringify(settings)});
    ${body}
  `;
  const program = Bun.spawn([process.execPath, "-e", script], { stderr: descriptor, stdout: "pipe" });
  closeSync(descriptor);
  expect(await program.exited).toBe(0);
  return readFileSync(file, "utf8");
}

describe("lines", () => {
  test("have a time and a level; what is less important is left out", async () => {
    const text = await log(
      {},
      'logger.debug("no"); logger.info("one"); logger.warn("two"); logger.error("three");',
    );
    const time = String.raw`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z`;
    expect(text).toMatch(new RegExp(`^${time} info  one\n${time} warn  two\n${time} error three\n$`));
  });

  test("of JSON", async () => {
    const text = await log({ format: "json", level: "error" }, 'logger.warn("no"); logger.error("a\\nb");');
    expect(JSON.parse(text)).toEqual({ time: expect.any(String), level: "error", message: "a\nb" });
    expect(text.trimEnd()).not.toContain("\n");
  });

  test("what a peer sent cannot look like another line", async () => {
    const text = await log({}, 'logger.info("a\\nb\\x1b[2Jc\\x85d");');
    expect(text).toEndWith(" info  a\\nb\\x1b[2Jc\\x85d\n");
  });
});

describe("the file", () => {
  test("moves to FILE.1 when it is large, and crash output goes where the log goes", async () => {
    const file = join(folder, "server.log");
    const body = `
      for (let line = 0; line < 100; line += 1) logger.info("line " + line + " " + "x".repeat(100));
      process.stderr.write("a crash\\n");
    `;
    const now = await log({ file, maxBytes: 4_000 }, body);
    expect(now).toEndWith("a crash\n");
    expect(now).toContain("line 99 ");
    const before = readFileSync(`${file}.1`, "utf8");
    const lines = [...`${before}${now}`.matchAll(/line (\d+) /g)].map(([, number]) => Number(number));
    expect(lines).toEqual(Array.from({ length: lines.length }, (_, index) => 100 - lines.length + index));
    for (const path of [file, `${file}.1`]) {
      expect(statSync(path).size).toBeLessThan(4_400);
      expect(statSync(path).mode & 0o777).toBe(0o600);
    }
  });

  test("that is large already moves before the first line", async () => {
    const file = join(folder, "old.log");
    writeFileSync(file, `${"x".repeat(5_000)}\n`, { mode: 0o600 });
    const now = await log({ file, maxBytes: 4_000 }, 'logger.info("first");');
    expect(now).toEndWith("info  first\n");
    expect(now.length).toBeLessThan(100);
    expect(readFileSync(`${file}.1`, "utf8").length).toBe(5_001);
  });

  test.each([
    ["a FIFO", (path: string) => Bun.spawnSync(["mkfifo", path])],
    ["a link", (path: string) => symlinkSync(join(folder, "of-somebody-else"), path)],
  ])("%s as FILE.1 is replaced, and neither waited for nor followed", async (what, make) => {
    const file = join(folder, `${what}.log`);
    make(`${file}.1`);
    writeFileSync(file, `${"x".repeat(5_000)}\n`, { mode: 0o600 });
    expect(await log({ file, maxBytes: 4_000 }, 'logger.info("first");')).toEndWith("info  first\n");
    expect(lstatSync(`${file}.1`)).toMatchObject({ size: 5_001 });
    expect(existsSync(join(folder, "of-somebody-else"))).toBe(false);
  });
});

test.skipIf(process.platform !== "linux")("lines that cannot be written are counted, not fatal", async () => {
  const full = openSync("/dev/full", "w");
  const script = `
    import { closeSync, openSync } from "node:fs";
    import { createLineLogger } from ${SOURCE};
    const logger = createLineLogger({ level: "info", format: "text", file: "" });
    logger.info("lost");
    logger.info("lost too");
    closeSync(2);
    openSync(${JSON.stringify(join(folder, "found.log"))}, "w");
    logger.info("found");
  `;
  const program = Bun.spawn([process.execPath, "-e", script], { stderr: full, stdout: "ignore" });
  closeSync(full);
  expect(await program.exited).toBe(0);
  const text = readFileSync(join(folder, "found.log"), "utf8");
  expect(text).toMatch(/^\S+ warn {2}2 log lines before this one could not be written\n\S+ info {2}found\n$/);
});
