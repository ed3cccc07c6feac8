/** The shape of the repository: what lies at the top, how long files get, and what is generated. */
import { describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { ROOT, readSource, typescriptFiles } from "./sources.ts";

const TOP_LEVEL = [
  ".ci",
  ".gitignore",
  "LICENSE",
  "Makefile",
  "README.md",
  "bench",
  "biome.json",
  "bun.lock",
  "bunfig.toml",
  "cli",
  "docs",
  "package.json",
  "proto",
  "src",
  "test",
  "tsconfig.build.json",
  "tsconfig.json",
];
const REQUIRED = [
  "bunfig.toml",
  "package.json",
  "proto",
  "src",
  "cli",
  "test",
  "Makefile",
  "README.md",
  "LICENSE",
];

/** Lines of a file, at most. Functions have at most 50, which Biome sees to. */
const LONGEST_FILE = 300;
/** Lines of src and cli, generated code aside: whoever needs more takes away elsewhere, or argues for it here. */
const TOTAL = 20_600;

const lineCount = (file: string): number => readSource(file).trimEnd().split("\n").length;

/** What people wrote of src and cli. */
const written = [...typescriptFiles("src"), ...typescriptFiles("cli")].filter(
  (file) => !file.startsWith("src/gen/"),
);

describe("layout", () => {
  test("nothing lies at the top that does not belong there", () => {
    const { stdout } = Bun.spawnSync(["git", "ls-files"], { cwd: ROOT });
    const top = new Set(
      stdout
        .toString()
        .trim()
        .split("\n")
        .map((file) => file.split("/")[0]!),
    );
    expect([...top].filter((entry) => !TOP_LEVEL.includes(entry))).toEqual([]);
    expect(REQUIRED.filter((entry) => !top.has(entry))).toEqual([]);
  });

  test("no source file is too long, and the whole is bounded", () => {
    const counts = written.map((file) => ({ file, lines: lineCount(file) }));
    expect(counts.filter(({ lines }) => lines > LONGEST_FILE)).toEqual([]);
    const total = counts.reduce((sum, { lines }) => sum + lines, 0);
    expect(total).toBeLessThanOrEqual(TOTAL);
  });

  test("one name for one thing: no two files of src share theirs", () => {
    const names = new Map<string, string[]>();
    for (const file of written.filter((path) => path.startsWith("src/") && basename(path) !== "index.ts")) {
      names.set(basename(file), [...(names.get(basename(file)) ?? []), file]);
    }
    expect([...names.values()].filter((files) => files.length > 1)).toEqual([]);
  });

  test("src/gen is what proto/ says", async () => {
    const out = mkdtempSync(join(tmpdir(), "tinymq-gen-test-"));
    try {
      const generate = Bun.spawn([process.execPath, "proto/generate.ts", out], { cwd: ROOT, stderr: "pipe" });
      expect(await new Response(generate.stderr).text()).toBe("");
      expect(await generate.exited).toBe(0);
      const compare = Bun.spawnSync(["diff", "-r", out, join(ROOT, "src/gen")]);
      expect(compare.stdout.toString()).toBe("");
    } finally {
      rmSync(out, { recursive: true, force: true });
    }
  });

  test("the lock file names no registry, and holds the tools for Linux and macOS", () => {
    const lock = readSource("bun.lock");
    expect(lock).not.toMatch(/https?:\/\//);
    for (const tool of ["@biomejs/cli", "@bufbuild/buf", "@typescript/typescript"]) {
      expect(lock).toContain(`"${tool}-darwin-arm64@`);
      expect(lock).toContain(`"${tool}-linux-x64@`);
    }
  });
});
