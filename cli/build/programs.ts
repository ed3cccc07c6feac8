/**
 * The programs: the command line, the benchmark's worker, and the server's process. They are bundled with all
 * the packages that they need, as these are not installed with ours.
 */
import { chmodSync, copyFileSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";

const ROOT = resolve(import.meta.dir, "../..");
const CLI = join(ROOT, "cli");

/** Writes launcher.sh, and the programs below cli/, into the folder `outdir`. */
export async function buildPrograms(outdir: string): Promise<void> {
  const programs = join(outdir, "cli");
  const inputs = [
    // A command loads its own file and no other's.
    ...(await bundle(programs, ["main.ts", "bench/worker.ts"], true)),
    // One file, so that an upgrade which replaces the package under a running server takes nothing from it. It
    // also costs less memory than several files; what is not needed at a start is evaluated later.
    ...(await bundle(programs, ["daemon/daemon.ts"], false)),
  ];
  writeFileSync(join(programs, "licenses.txt"), licensesOf(inputs));
  const launcher = join(outdir, "launcher.sh");
  copyFileSync(join(CLI, "launcher.sh"), launcher);
  chmodSync(launcher, 0o755);
}

/** Bundles programs, not minified, and returns the paths of all files that are in them. */
async function bundle(outdir: string, entries: string[], splitting: boolean): Promise<string[]> {
  const { metafile } = await Bun.build({
    entrypoints: entries.map((entry) => join(CLI, entry)),
    root: CLI,
    outdir,
    target: "bun",
    format: "esm",
    splitting,
    naming: { entry: "[dir]/[name].[ext]", chunk: "[name]-[hash].[ext]" },
    metafile: true,
  });
  return Object.keys(metafile?.inputs ?? {});
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
