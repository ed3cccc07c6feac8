/**
 * The programs: the command line, the benchmark's worker, and the server's process. They are bundled with all
 * the packages that they need, as these are not installed with ours.
 */
import { chmodSync, copyFileSync, existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";

const ROOT = resolve(import.meta.dir, "../..");
const CLI = join(ROOT, "cli");
/** The folder of the package that a file is in, with the slash behind it. */
const PACKAGE_FOLDER = /^.*\/node_modules\/(?:@[^/]+\/)?[^/]+\//;

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

/** The licence texts of the packages that are among the bundled files, of what those bundle, and of single files. */
function licensesOf(inputs: string[]): string {
  const files = inputs.map((input) => join(ROOT, input)).filter((file) => PACKAGE_FOLDER.test(file));
  const folders = new Set(files.map((file) => PACKAGE_FOLDER.exec(file)![0]));
  const parts = [...folders].sort().map((folder) => {
    const license = readdirSync(folder).find((entry) => /^licen[sc]e/i.test(entry));
    if (!license) throw new Error(`${folder} is bundled, and has no licence file`);
    const bundled = join(folder, "dist", "THIRD-PARTY-LICENSES.md");
    const notices = files.filter((file) => file.startsWith(folder)).map(noticeOf);
    const texts = [
      folder.split("node_modules/").at(-1)!.slice(0, -1),
      readFileSync(join(folder, license), "utf8"),
      existsSync(bundled) ? readFileSync(bundled, "utf8") : "",
      ...new Set(notices),
    ];
    return `${texts
      .map((text) => text.trim())
      .filter((text) => text !== "")
      .join("\n\n")}\n`;
  });
  return `The programs of this package contain the following packages.\n\n${parts.join(`\n${"-".repeat(80)}\n\n`)}`;
}

/** A copyright notice that one file begins with; "" if there is none. */
function noticeOf(file: string): string {
  const head = /^(?:\/\/.*\n)+/.exec(readFileSync(file, "utf8"))?.[0] ?? "";
  return /copyright/i.test(head) ? head.replaceAll(/^\/\/ ?/gm, "") : "";
}
