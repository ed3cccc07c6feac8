/**
 * Makes dist/, which is what the package ships: the library, the programs below cli/, and the command. All of
 * it is plain JavaScript, not minified. The folder is replaced as a whole at the end: a build that fails
 * leaves the last good one.
 *
 * Usage: bun cli/build/build.ts [OUT]     (OUT: dist by default)
 */
import { chmodSync, existsSync, mkdirSync, mkdtempSync, renameSync, rmSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { buildLibrary } from "./library.ts";
import { buildPrograms } from "./programs.ts";

const out = resolve(process.argv[2] ?? join(import.meta.dir, "../../dist"));

mkdirSync(dirname(out), { recursive: true });
const work = mkdtempSync(`${out}.building-`);
try {
  await Promise.all([buildLibrary(work), buildPrograms(work)]);
  chmodSync(work, 0o755);
  replaceFolder(work, out);
} finally {
  rmSync(work, { recursive: true, force: true });
}

function replaceFolder(from: string, to: string): void {
  const old = `${from}-old`;
  if (existsSync(to)) renameSync(to, old);
  renameSync(from, to);
  rmSync(old, { recursive: true, force: true });
}
