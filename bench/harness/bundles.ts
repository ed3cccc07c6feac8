/** What is bundled before a run: the client process for Node, and the control's server, as tinyMQ's is. */
import { existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";

/** Not a constant: in Node, where the client processes load this file too, there is no such folder. */
const benchFolder = (): string => join(import.meta.dir, "..");
/** Below node_modules, so that what is not bundled is found. */
const outFolder = (): string => join(benchFolder(), "node_modules", ".cache", "tinymq-bench");

let built: Promise<void> | undefined;

/** The client process's program for Node. */
export async function nodeWorker(): Promise<string> {
  built ??= build("harness/worker.ts", "node");
  await built;
  return join(outFolder(), "worker.js");
}

/** A bundled program for Bun, minified like the server that tinyMQ ships. */
export async function bunProgram(entry: string, name: string): Promise<string> {
  await build(entry, "bun");
  return join(outFolder(), name);
}

async function build(entry: string, target: "node" | "bun"): Promise<void> {
  const out = outFolder();
  mkdirSync(out, { recursive: true });
  const result = await Bun.build({
    entrypoints: [join(benchFolder(), entry)],
    outdir: out,
    target,
    format: "esm",
    packages: "external",
    external: ["bun:ffi"],
    minify: target === "bun" ? { whitespace: true, syntax: true } : false,
  });
  if (!result.success) throw new AggregateError(result.logs, `${entry} does not bundle`);
}

/** A file of the package as it is shipped. Throws if the package is not built. */
export function shipped(file: string): string {
  const path = join(benchFolder(), "..", "dist", file);
  if (!existsSync(path)) throw new Error(`dist/${file} is missing: make build`);
  return path;
}
