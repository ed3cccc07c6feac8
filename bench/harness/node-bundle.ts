/** The client program as one file for Node, which cannot run its TypeScript. */
import { join } from "node:path";

let bundle: Promise<string> | undefined;

/** Its path; bundled once. */
export function nodeClientProgram(): Promise<string> {
  bundle ??= makeBundle();
  return bundle;
}

async function makeBundle(): Promise<string> {
  // Below node_modules, so that packages, which are not bundled, are found.
  const outdir = join(import.meta.dir, "..", "node_modules", ".cache", "tinymq-bench");
  const program = join(import.meta.dir, "client-program.ts");
  const result = await Bun.build({
    entrypoints: [program],
    outdir,
    target: "node",
    format: "esm",
    packages: "external",
  });
  if (!result.success) throw new AggregateError(result.logs, `${program} does not bundle`);
  return join(outdir, "client-program.js");
}
