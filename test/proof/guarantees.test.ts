/** docs/guarantees.md names the test behind each promise: every one of them is there. */
import { expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";

const ROOT = resolve(import.meta.dir, "../..");
const PAGE = readFileSync(join(ROOT, "docs/guarantees.md"), "utf8");
const LINES = PAGE.split("\n").filter((line) => line.startsWith("- "));

test("every proof that the page names exists", () => {
  const named = LINES.flatMap((line) => [...line.matchAll(/Proof: `([^`]+)` "([^"]+)"/g)]);
  expect(named.length).toBeGreaterThan(40);
  const missing = named.filter(([, file, name]) => {
    const path = join(ROOT, file!);
    return (
      !existsSync(path) ||
      !new RegExp(`\\btest\\(\\s*"${escapeRegExp(name!)}"`).test(readFileSync(path, "utf8"))
    );
  });
  expect(missing.map(([, file, name]) => `${file}: ${name}`)).toEqual([]);
});

test("every promise names its proof", () => {
  expect(LINES.filter((line) => !/Proof: `[^`]+` "[^"]+"\.$/.test(line))).toEqual([]);
});

function escapeRegExp(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
}
