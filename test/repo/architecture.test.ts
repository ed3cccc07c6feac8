/** docs/architecture.md names what is there: every path on it exists, and no file is missing from it. */
import { expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { basename, join } from "node:path";
import { ROOT, readSource, typescriptFiles } from "./sources.ts";

const page = readSource("docs/architecture.md");
const code = [...page.matchAll(/`([^`\n]+)`/g)].map((match) => match[1]!);

test("every path on the page exists", () => {
  const paths = code.filter(
    (text) => /^[\w.-]+(?:\/[\w.-]*)+$/.test(text) && !/^(?:auth|sockets|dist)\//.test(text),
  );
  expect(paths.length).toBeGreaterThan(40);
  expect(paths.filter((path) => !existsSync(join(ROOT, path)))).toEqual([]);
});

test("every file name on the page is that of a file", () => {
  const files = ["src", "cli", "test"].flatMap(typescriptFiles);
  const names = code.filter((text) => /^[\w./-]+\.ts$/.test(text));
  expect(names.filter((name) => !files.some((file) => `/${file}`.endsWith(`/${name}`)))).toEqual([]);
});

test("no file of src is missing from the page", () => {
  const files = typescriptFiles("src").filter((file) => !file.startsWith("src/gen/"));
  const missing = files.filter((file) => basename(file) !== "index.ts" && !page.includes(basename(file)));
  expect(missing).toEqual([]);
});
