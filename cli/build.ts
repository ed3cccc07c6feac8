/**
 * Makes dist/, which is what the package ships: the library for Bun and browsers (one bundle, so that the
 * error classes of both its entries are the same classes), the library for Node, the three programs, and
 * the types. The folder is replaced as a whole at the end: a build that fails leaves the last good one.
 *
 * Usage: bun cli/build.ts [OUT]     (OUT: dist by default)
 */
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { dirname, join, resolve } from "node:path";
import { buildDaemon } from "./build-daemon.ts";
import { buildLauncher } from "./build-launcher.ts";

const root = resolve(import.meta.dir, "..");
const out = resolve(process.argv[2] ?? join(root, "dist"));

/** Not bundled into the library: types that people generate must run on the same runtime as ours. */
const LIBRARY_EXTERNALS = ["@protobuf-ts/runtime", "@protobuf-ts/runtime-rpc"];

/** What Node gets for "tmqserver/server": the reason, instead of a ReferenceError for `Bun`. */
const SERVER_NEEDS_BUN =
  'throw new Error("tmqserver/server needs Bun (https://bun.com). Node runs the client; the server runs with: bunx tmqserver start");\n';

/** The public entries of the types, below types/. */
const TYPE_ENTRIES = ["index.d.ts", "server/index.d.ts"];

mkdirSync(dirname(out), { recursive: true });
const work = mkdtempSync(`${out}.building-`);
try {
  await Promise.all([bundleLibrary(), bundleNodeLibrary(), bundlePrograms(), makeTypes()]);
  writeFileSync(join(work, "server-needs-bun.js"), SERVER_NEEDS_BUN);
  chmodSync(work, 0o755);
  replaceFolder(work, out);
} finally {
  rmSync(work, { recursive: true, force: true });
}

async function bundleLibrary(): Promise<void> {
  await bundle({
    entrypoints: [source("src/index.ts"), source("src/server/index.ts")],
    root: source("src"),
    target: "browser",
    splitting: true,
    external: [...LIBRARY_EXTERNALS, "node:*", "bun"],
    naming: { entry: "[dir]/[name].[ext]", chunk: "shared/[hash].[ext]" },
  });
}

async function bundleNodeLibrary(): Promise<void> {
  await bundle({
    entrypoints: [source("src/index.node.ts")],
    target: "node",
    external: [...LIBRARY_EXTERNALS, "ws"],
  });
}

/** The programs hold all they need, and so the licences of it: they start faster. */
async function bundlePrograms(): Promise<void> {
  const main = await bundle({
    entrypoints: [source("cli/main.ts"), source("cli/bench/worker.ts")],
    target: "bun",
    minify: { whitespace: true, syntax: true },
  });
  const daemon = await buildDaemon(work);
  await buildLauncher(work);
  renameSync(join(work, "main.js"), join(work, "cli.js"));
  const inputs = [...Object.keys(main.metafile?.inputs ?? {}), ...daemon.eager, ...daemon.later];
  writeFileSync(join(work, "licenses.txt"), licensesOf(inputs));
}

async function bundle(config: Bun.BuildConfig): Promise<Bun.BuildOutput> {
  return await Bun.build({ format: "esm", outdir: work, metafile: true, ...config });
}

function source(path: string): string {
  return join(root, path);
}

/** The licence texts of the packages that are among the bundled files. */
function licensesOf(inputs: string[]): string {
  const packages = new Set<string>();
  for (const input of inputs) {
    const name = /.*node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(input)?.[1];
    if (name) packages.add(name);
  }
  const parts = [...packages].sort().map((name) => {
    const folder = source(`node_modules/${name}`);
    const file = readdirSync(folder).find((entry) => /^licen[sc]e/i.test(entry));
    if (!file) throw new Error(`${name} is bundled, and has no licence file`);
    return `${name}\n\n${readFileSync(join(folder, file), "utf8").trim()}\n`;
  });
  return `The programs of this package contain the following packages.\n\n${parts.join(`\n${"-".repeat(80)}\n\n`)}`;
}

/**
 * Declarations, as a project without @types/bun and with any `lib` can use them: only what the public
 * entries reach (the rest may name `Bun.*`), imports with the extension that every resolver knows, and
 * the library that declares `Symbol.asyncDispose`.
 */
async function makeTypes(): Promise<void> {
  const types = join(work, "types");
  const tsc = Bun.spawn(
    [
      process.execPath,
      source("node_modules/typescript/bin/tsc"),
      "-p",
      "tsconfig.build.json",
      "--outDir",
      types,
    ],
    { cwd: root, stdout: "inherit", stderr: "inherit" },
  );
  if ((await tsc.exited) !== 0) throw new Error("tsc found errors");
  const reached = new Set<string>();
  for (const entry of TYPE_ENTRIES) reachTypes(join(types, entry), reached);
  for (const file of readdirSync(types, { recursive: true, encoding: "utf8" })) {
    const path = join(types, file);
    if (!file.endsWith(".d.ts")) continue;
    if (reached.has(path)) writeFileSync(path, portableTypes(readFileSync(path, "utf8")));
    else rmSync(path);
  }
}

function reachTypes(path: string, reached: Set<string>): void {
  if (reached.has(path)) return;
  reached.add(path);
  for (const [, specifier] of readFileSync(path, "utf8").matchAll(
    /(?:from |import\()"(\.{1,2}\/[^"]+)\.ts"/g,
  )) {
    reachTypes(resolve(dirname(path), `${specifier}.d.ts`), reached);
  }
}

function portableTypes(declarations: string): string {
  const portable = declarations.replace(/((?:from |import\()"\.{1,2}\/[^"]+)\.ts"/g, '$1.js"');
  const disposable = /\b(?:Async)?Disposable\b|\bSymbol\.(?:asyncD|d)ispose\b/.test(portable);
  return disposable ? `/// <reference lib="esnext.disposable" />\n${portable}` : portable;
}

function replaceFolder(from: string, to: string): void {
  const old = `${from}-old`;
  if (existsSync(to)) renameSync(to, old);
  renameSync(from, to);
  rmSync(old, { recursive: true, force: true });
}
