/** How people call this program again. */
import { realpathSync } from "node:fs";
import { delimiter, join, relative } from "node:path";
import { PROGRAM } from "./help.ts";

/** What npx, bunx and scripts of a package put on PATH, and their user's shell has not. */
const LOCAL_PROGRAMS = /\/node_modules\/\.bin\/?$/;

/**
 * What can be typed in `cwd` to run the program whose main file is `main`: its name where that is on PATH; through
 * bunx or npx where it is installed in a project, or was only fetched; else Bun and the file.
 */
export function callName(main = Bun.main, environment = process.env, cwd = process.cwd()): string {
  const folders = (environment.PATH ?? "").split(delimiter).filter((folder) => !LOCAL_PROGRAMS.test(folder));
  const PATH = folders.join(delimiter);
  const command = Bun.which(PROGRAM, { PATH });
  const isOurs = command !== null && realpathSync(command) === join(realpathSync(main), "../../launcher.sh");
  if (isOurs) return PROGRAM;
  const hasBun = Bun.which("bun", { PATH }) !== null;
  if (!main.includes("/node_modules/")) {
    const path = relative(cwd, main);
    return [hasBun ? "bun" : process.execPath, path.startsWith("..") ? main : path].map(quoted).join(" ");
  }
  const caller = environment.npm_config_user_agent?.split("/")[0];
  const isNpms = caller === "npm" || main.includes("/_npx/");
  const isBuns = hasBun || caller === "bun" || Bun.which("npx", { PATH }) === null;
  return `${isNpms || !isBuns ? "npx" : "bunx"} ${PROGRAM}`;
}

/** A word for the shell. */
function quoted(word: string): string {
  return /^[\w./@+-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}
