/**
 * The command of the package, as Node or Bun run it; a shell runs what stands before it, cli/launcher.sh. The
 * program itself needs Bun. Nothing is printed here but where to get Bun.
 */
import { spawn } from "node:child_process";
import { accessSync, constants, statSync } from "node:fs";
import { createRequire } from "node:module";
import { homedir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const PROGRAM = fileURLToPath(
  new URL(import.meta.url.endsWith(".ts") ? "./main.ts" : "./cli.js", import.meta.url),
);
const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;
const NO_BUN = `tinyMQ runs on Bun, which is not installed here. Get it from https://bun.com:

  curl -fsSL https://bun.com/install | bash
  npm install --global bun

Then run this command again. (Looked on PATH, in ~/.bun, and among the installed packages.)
`;

if (process.versions.bun) await import(PROGRAM);
else runUnderBun(findBun());

function runUnderBun(bun: string | null): void {
  if (bun === null) {
    process.stderr.write(NO_BUN);
    process.exitCode = 1;
    return;
  }
  const child = spawn(bun, [PROGRAM, ...process.argv.slice(2)], { stdio: "inherit" });
  const forward = (signal: NodeJS.Signals): void => {
    child.kill(signal);
  };
  for (const signal of SIGNALS) process.on(signal, forward);
  child.on("error", (error) => {
    process.stderr.write(`${bun}: ${error.message}\n`);
    process.exitCode = 1;
  });
  child.on("exit", (code, signal) => {
    for (const name of SIGNALS) process.off(name, forward);
    // Whoever waits for this process learns how the program ended.
    if (signal !== null) process.kill(process.pid, signal);
    else process.exitCode = code ?? 1;
  });
}

function findBun(): string | null {
  const folders = (process.env.PATH ?? "").split(delimiter).filter((folder) => folder !== "");
  const installed = process.env.BUN_INSTALL ?? join(homedir(), ".bun");
  const candidates = [...folders, join(installed, "bin")].map((folder) => join(folder, "bun"));
  return [...candidates, ...bunPackage()].find(isProgram) ?? null;
}

/** The program of npm's package `bun`, if it is installed beside this one. */
function bunPackage(): string[] {
  try {
    const manifest = createRequire(import.meta.url).resolve("bun/package.json");
    return ["bin/bun.exe", "bin/bun"].map((path) => join(dirname(manifest), path));
  } catch {
    // It is not installed, which is how most have it.
    return [];
  }
}

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}
