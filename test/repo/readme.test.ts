/** README.md and the pages that show how something is done do what they say: see `page-blocks.ts`. */
import { describe, expect, test } from "bun:test";
import { existsSync, readdirSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import { formatDuration, formatSize, OPTIONS } from "../../src/server/index.ts";
import { blocksOf, matches, testBlocksOf } from "./page-blocks.ts";
import { ROOT, readSource } from "./sources.ts";

/** All pages of the repository. */
const PAGES = [
  "README.md",
  ...readdirSync(join(ROOT, "docs"))
    .filter((name) => name.endsWith(".md"))
    .map((name) => `docs/${name}`),
];

describe("the harness", () => {
  test("finds blocks, their reasons and their outputs", () => {
    const page = [
      "# T",
      "```sh",
      "ls",
      "```",
      "shows",
      "```text",
      "a",
      "```",
      "",
      "<!-- not run: why -->",
      "```ts",
      "x",
      "```",
    ];
    expect(blocksOf(page.join("\n"), "a.md")).toEqual([
      { line: 2, language: "sh", code: "ls", reason: undefined, output: "a" },
      { line: 11, language: "ts", code: "x", reason: "why" },
    ]);
    expect(() => blocksOf("```sh\nls", "a.md")).toThrow("a.md:1");
  });

  test("compares with … for anything", () => {
    expect(matches("pid 12 (now)", "pid … (now)")).toBe(true);
    expect(matches("pid 12 (then)", "pid … (now)")).toBe(false);
  });
});

describe("README.md", () => testBlocksOf("README.md", { prepared: false }));
describe("docs/consuming.md", () => testBlocksOf("docs/consuming.md", { prepared: true }));
describe("docs/operating.md", () => testBlocksOf("docs/operating.md", { prepared: true }));
describe("docs/measuring.md", () => testBlocksOf("docs/measuring.md", { prepared: true }));

test("the table of options has all of the server's, with their defaults", () => {
  const page = readSource("docs/operating.md");
  const rows = page.slice(page.indexOf("| option | default |")).split("\n\n")[0]!.split("\n");
  const rowOf = (name: string) => rows.find((row) => row.split("|")[1]!.includes(`\`${name}\``));
  const shown = (spec: (typeof OPTIONS)[number]) => {
    if (spec.kind === "size") return formatSize(Number(spec.fallback));
    if (spec.kind === "duration") return formatDuration(Number(spec.fallback)).replace(/ m$/, " min");
    return typeof spec.fallback === "number" && spec.name !== "port"
      ? spec.fallback.toLocaleString("en-US")
      : String(spec.fallback);
  };
  for (const spec of OPTIONS) {
    expect(rowOf(spec.name), spec.name).toBeDefined();
    // Where 0 and "" mean none, the page says that.
    if (spec.fallback) expect(rowOf(spec.name)).toContain(shown(spec));
  }
  expect(rowOf("log-level")).toContain("info");
});

describe("links", () => {
  const anchorsOf = (text: string) =>
    [...text.matchAll(/^#+ (.*)$/gm)].map(([, title]) =>
      title!
        .toLowerCase()
        .replaceAll(/[^\p{L}\p{N}_ -]/gu, "")
        .replaceAll(" ", "-"),
    );
  const linksOf = (page: string) =>
    [...readSource(page).matchAll(/\]\((?!https?:)([^)]+)\)/g)].map(([, target]) => {
      const [file, anchor] = target!.split("#") as [string, string?];
      return { target, file: file === "" ? page : normalize(join(dirname(page), file)), anchor };
    });

  test.each(PAGES)("of %s lead somewhere", (page) => {
    const dead = linksOf(page).filter(({ file, anchor }) => {
      if (!existsSync(join(ROOT, file))) return true;
      return anchor !== undefined && !anchorsOf(readSource(file)).includes(anchor);
    });
    expect(dead).toEqual([]);
  });

  test("of pages in the package lead to files in the package", () => {
    const { files } = JSON.parse(readSource("package.json")) as { files: string[] };
    const packed = (path: string) =>
      !files.includes(`!${path}`) &&
      files.some((pattern) => new Bun.Glob(pattern).match(path) || path.startsWith(`${pattern}/`));
    const pages = PAGES.filter(packed);
    expect(pages.length).toBeGreaterThan(8);
    const missing = pages.flatMap((page) =>
      linksOf(page)
        .filter(({ file }) => !packed(file))
        .map(({ target }) => `${page}: ${target}`),
    );
    expect(missing).toEqual([]);
  });
});
