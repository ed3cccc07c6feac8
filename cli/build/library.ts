/**
 * The library. For Bun and browsers every source file becomes one JavaScript file with its declarations
 * beside it: the server and the client share what they have in common, error classes above all. Node
 * gets one bundle, which it loads faster.
 */
import { readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import * as server from "../../src/server/index.ts";

const ROOT = resolve(import.meta.dir, "../..");

/**
 * What Node gets for "tmqserver/server": the reason, instead of a ReferenceError for `Bun`. It has every name, for
 * an import of a name that is missing is a SyntaxError before anything runs.
 */
const SERVER_NEEDS_BUN = `export let ${Object.keys(server).join(", ")};
throw new Error("tmqserver/server needs Bun (https://bun.com). Node runs the client; the server runs with: bunx tmqserver start");
`;

/** The public entries of the declarations. */
const TYPE_ENTRIES = ["index.d.ts", "server/index.d.ts"];

/** Writes the library into the folder `outdir`. Throws if the sources have type errors. */
export async function buildLibrary(outdir: string): Promise<void> {
  writeFileSync(join(outdir, "server-needs-bun.js"), SERVER_NEEDS_BUN);
  await Promise.all([compile(outdir), bundleForNode(outdir)]);
  makeTypesPortable(outdir);
}

async function compile(outdir: string): Promise<void> {
  const tsc = join(ROOT, "node_modules/typescript/bin/tsc");
  const child = Bun.spawn([process.execPath, tsc, "-p", "tsconfig.build.json", "--outDir", outdir], {
    cwd: ROOT,
    stdout: "inherit",
    stderr: "inherit",
  });
  if ((await child.exited) !== 0) throw new Error("tsc found errors");
  dropComments(join(outdir, "gen"));
}

/** Removes the comments of generated code, a quarter of its size; its declarations keep them. */
function dropComments(folder: string): void {
  const transpiler = new Bun.Transpiler({ loader: "js" });
  for (const file of readdirSync(folder, { recursive: true, encoding: "utf8" })) {
    const path = join(folder, file);
    if (file.endsWith(".js")) writeFileSync(path, transpiler.transformSync(readFileSync(path, "utf8")));
  }
}

async function bundleForNode(outdir: string): Promise<void> {
  await Bun.build({
    entrypoints: [join(ROOT, "src/index.node.ts")],
    outdir,
    target: "node",
    format: "esm",
    // Not bundled: message types that people generate must run on the same runtime as ours.
    packages: "external",
  });
}

/**
 * Declarations, as a project without @types/bun and with any `lib` can use them: only what the public
 * entries reach (the rest may name `Bun.*`), imports with the extension that every resolver knows, and
 * the library that declares `Symbol.asyncDispose`.
 */
function makeTypesPortable(outdir: string): void {
  const reached = new Set<string>();
  for (const entry of TYPE_ENTRIES) reachTypes(join(outdir, entry), reached);
  for (const file of readdirSync(outdir, { recursive: true, encoding: "utf8" })) {
    const path = join(outdir, file);
    if (!file.endsWith(".d.ts")) continue;
    if (reached.has(path)) writeFileSync(path, portableTypes(readFileSync(path, "utf8")));
    else rmSync(path);
  }
}

function reachTypes(path: string, reached: Set<string>): void {
  if (reached.has(path)) return;
  reached.add(path);
  const imports = readFileSync(path, "utf8").matchAll(/(?:from |import\()"(\.{1,2}\/[^"]+)\.ts"/g);
  for (const [, specifier] of imports) reachTypes(resolve(dirname(path), `${specifier}.d.ts`), reached);
}

function portableTypes(declarations: string): string {
  const portable = declarations.replace(/((?:from |import\()"\.{1,2}\/[^"]+)\.ts"/g, '$1.js"');
  const disposable = /\b(?:Async)?Disposable\b|\bSymbol\.(?:asyncD|d)ispose\b/.test(portable);
  return disposable ? `/// <reference lib="esnext.disposable" />\n${portable}` : portable;
}
