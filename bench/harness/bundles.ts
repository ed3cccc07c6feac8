/** What is bundled before it is measured: the client program for Node, and the control's server, as tinyMQ's is. */
import { basename, join } from "node:path";

const programs = new Map<string, Promise<string>>();

/** The path of the program `entry` (from the bench's folder) as one file for a runtime; bundled once. */
export function bundled(entry: string, target: "node" | "bun"): Promise<string> {
  const found = programs.get(entry) ?? bundle(entry, target);
  programs.set(entry, found);
  return found;
}

async function bundle(entry: string, target: "node" | "bun"): Promise<string> {
  const folder = join(import.meta.dir, "..");
  // Below node_modules, so that packages, which are not bundled, are found.
  const out = join(folder, "node_modules", ".cache", "tinymq-bench");
  const result = await Bun.build({
    entrypoints: [join(folder, entry)],
    outdir: out,
    target,
    format: "esm",
    packages: "external",
    minify: target === "bun" ? { whitespace: true, syntax: true } : false,
  });
  if (!result.success) throw new AggregateError(result.logs, `${entry} does not bundle`);
  return join(out, basename(entry).replace(/\.ts$/, ".js"));
}
