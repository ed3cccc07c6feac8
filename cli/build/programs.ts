/**
 * The programs: the command line, the server's process, and the benchmark's worker. They are bundled with all
 * the packages that they need, as these are not installed with ours; what a command or a start does not need
 * at once is a file of its own, loaded when it is needed.
 */
import { chmodSync, copyFileSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";

const ROOT = resolve(import.meta.dir, "../..");
const CLI = join(ROOT, "cli");
const ENTRIES = ["main.ts", "daemon/daemon.ts", "bench/worker.ts"];

/** Writes launcher.sh, and the programs below cli/, into the folder `outdir`. */
export async function buildPrograms(outdir: string): Promise<void> {
  const programs = join(outdir, "cli");
  const { metafile } = await Bun.build({
    entrypoints: ENTRIES.map((entry) => join(CLI, entry)),
    root: CLI,
    outdir: programs,
    target: "bun",
    format: "esm",
    splitting: true,
    naming: { entry: "[dir]/[name].[ext]", chunk: "[name]-[hash].[ext]" },
    metafile: true,
  });
  writeFileSync(join(programs, "licenses.txt"), licensesOf(Object.keys(metafile?.inputs ?? {})));
  const launcher = join(outdir, "launcher.sh");
  copyFileSync(join(CLI, "launcher.sh"), launcher);
  chmodSync(launcher, 0o755);
}

/** The licence texts of the packages that are among the bundled files. */
function licensesOf(inputs: string[]): string {
  const packages = new Set<string>();
  for (const input of inputs) {
    const name = /.*node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(input)?.[1];
    if (name) packages.add(name);
  }
  const parts = [...packages].sort().map((name) => {
    const folder = join(ROOT, "node_modules", name);
    const file = readdirSync(folder).find((entry) => /^licen[sc]e/i.test(entry));
    if (!file) throw new Error(`${name} is bundled, and has no licence file`);
    return `${name}\n\n${readFileSync(join(folder, file), "utf8").trim()}\n`;
  });
  return `The programs of this package contain the following packages.\n\n${parts.join(`\n${"-".repeat(80)}\n\n`)}`;
}
