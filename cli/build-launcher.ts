/**
 * Makes the command of the package, which is two scripts in one file. A shell that finds Bun on PATH runs the
 * program at once; Node, which takes 50 ms to start, is asked only where there is none: it looks elsewhere,
 * and says how to get Bun. To Node and to Bun, for who runs the file with them, the shell's part is a comment.
 */
import { chmodSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** Writes launcher.js into `outdir`. */
export async function buildLauncher(outdir: string): Promise<void> {
  const built = await Bun.build({ entrypoints: [join(import.meta.dir, "launcher.ts")], target: "node" });
  const shell = readFileSync(join(import.meta.dir, "launcher.sh"), "utf8");
  const path = join(outdir, "launcher.js");
  writeFileSync(path, `${shell}${await built.outputs[0]!.text()}`);
  chmodSync(path, 0o755);
}
