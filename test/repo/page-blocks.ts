/**
 * The code blocks of a page, and running them as its reader would: in order, in one empty project with the packed
 * package.
 *
 * - `sh` runs in the project's folder; `ts` and `js` are saved and run with Bun. A block that fails fails its test.
 * - `text` right behind such a block is its output; "…" in it stands for anything.
 * - A block of another language, a `text` that shows nobody's output, or one that must not run, needs
 *   `<!-- not run: REASON -->` on the line above it.
 *
 * What a page says to everybody means something else here: port 9800 is a free port (also where it is the default),
 * the package comes from its tarball, and the state folder is one of our own.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { emptyProject, type Finished, freePort, PACKAGE_TIMEOUT, packedPackage, run } from "./packed.ts";
import { ROOT, readSource } from "./sources.ts";

export interface Block {
  readonly line: number;
  readonly language: string;
  readonly code: string;
  /** Why it is not run, if it is not. */
  readonly reason: string | undefined;
  /** The output that the page shows behind it. */
  output?: string;
}

const TSC = join(ROOT, "node_modules/typescript/bin/tsc");
const RUNNABLE = ["sh", "ts", "js"];

/** The fenced blocks of a page, each `text` block attached to the block whose output it is. */
export function blocksOf(page: string, name: string): Block[] {
  const blocks: Block[] = [];
  const lines = page.split("\n");
  for (let index = 0; index < lines.length; index += 1) {
    const fence = /^(`{3,})(\S*)\s*$/.exec(lines[index]!);
    if (!fence) continue;
    const end = lines.indexOf(fence[1]!, index + 1);
    if (end === -1) throw new Error(`${name}:${index + 1}: the block has no end`);
    const code = lines.slice(index + 1, end).join("\n");
    const reason = /^<!-- not run: (.+) -->$/.exec(lines[index - 1] ?? "")?.[1];
    const shown = blocks.at(-1);
    if (fence[2] === "text" && reason === undefined && shown !== undefined && shown.output === undefined) {
      shown.output = code;
    } else {
      blocks.push({ line: index + 1, language: fence[2]!, code, reason });
    }
    index = end;
  }
  return blocks;
}

/** Whether `actual` is `shown`, whose "…" stand for anything. */
export function matches(actual: string, shown: string): boolean {
  const pattern = shown
    .split("…")
    .map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"))
    .join("[\\s\\S]*?");
  return new RegExp(`^${pattern}$`).test(actual);
}

/**
 * Declares a test for each block of the page. `prepared`: the project has the package and a running server already;
 * else the page's own blocks see to that.
 */
export function testBlocksOf(name: string, { prepared }: { prepared: boolean }): void {
  const blocks = blocksOf(readSource(name), name);
  const project = emptyProject(`project-of-${name.replaceAll(/\W+/g, "-")}`);
  const env = { TINYMQ_HOME: project.state, TINYMQ_PORT: "" };
  let tarball = "";

  const inProject = (command: string[]): Promise<Finished> => run(command, { cwd: project.folder, env });

  beforeAll(async () => {
    tarball = await packedPackage();
    env.TINYMQ_PORT = String(await freePort());
    if (!prepared) return;
    expect(await inProject(["bun", "add", tarball])).toMatchObject({ code: 0 });
    expect(await inProject(["bunx", "tmqserver", "start"])).toMatchObject({ code: 0 });
  }, PACKAGE_TIMEOUT);

  afterAll(async () => {
    await inProject(["bunx", "tmqserver", "--stopserver"]);
  }, PACKAGE_TIMEOUT);

  const here = (text: string): string =>
    text.replaceAll("9800", env.TINYMQ_PORT).replace(/\b(add|install|i) tmqserver\b/g, `$1 ${tarball}`);

  const fileOf = ({ line, language }: Block): string => `line-${line}.${language}`;
  const save = (block: Block): void => writeFileSync(join(project.folder, fileOf(block)), here(block.code));

  const runBlock = (block: Block): Promise<Finished> => {
    if (block.language === "sh") return inProject(["sh", "-euc", here(block.code)]);
    save(block);
    return inProject(["bun", fileOf(block)]);
  };

  test("has blocks, and every one of them is run, or says why not", () => {
    expect(blocks.length).toBeGreaterThan(0);
    const neither = blocks.filter(
      (block) => block.reason === undefined && !RUNNABLE.includes(block.language),
    );
    expect(neither).toEqual([]);
    // A fence that the harness would not see.
    expect(readSource(name)).not.toMatch(/^[ \t]+`{3}|^[ \t]*~{3}/m);
  });

  for (const block of blocks.filter(({ reason }) => reason === undefined)) {
    const title = block.code.split("\n").find((line) => line.trim() !== "") ?? "";
    test(
      `line ${block.line}: ${title}`,
      async () => {
        const finished = await runBlock(block);
        expect(finished).toMatchObject({ code: 0 });
        const printed = finished.stdout.trimEnd();
        if (block.output !== undefined && !matches(printed, here(block.output))) {
          expect(printed).toBe(here(block.output));
        }
      },
      PACKAGE_TIMEOUT,
    );
  }

  const programs = blocks.filter(({ language, reason }) => language === "ts" && reason === undefined);
  if (programs.length === 0) return;
  test(
    "types of its programs check",
    async () => {
      for (const block of programs) save(block);
      const compilerOptions = {
        target: "es2022",
        lib: ["esnext", "dom"],
        module: "nodenext",
        strict: true,
        noEmit: true,
        types: ["bun"],
        typeRoots: [join(ROOT, "node_modules/@types")],
      };
      const files = programs.map(fileOf);
      writeFileSync(join(project.folder, "tsconfig.json"), JSON.stringify({ compilerOptions, files }));
      const checked = await inProject(["bun", TSC, "-p", project.folder]);
      expect(checked).toEqual({ code: 0, stdout: "", stderr: "" });
    },
    PACKAGE_TIMEOUT,
  );
}
