/**
 * The package as its users get it: packed from a copy of this repository, installed in projects outside
 * of it. Nothing here reads the working tree's dist/, so tests can run while it is being built.
 */
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join, relative } from "node:path";
import { ROOT } from "./sources.ts";

/** Building, packing and installing take their time on a busy machine: ms. */
export const PACKAGE_TIMEOUT = 120_000;

/** What a command left behind. */
export interface Finished {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Not part of what is packed, and large. */
const LEFT_OUT = ["node_modules", ".git", ".tools", "dist"];

const scratch = mkdtempSync(join(tmpdir(), "tinymq-package-"));
process.on("exit", () => rmSync(scratch, { recursive: true, force: true }));

/** A folder with `bun` and `bunx`: the very Bun that runs the tests, under the names that scripts use. */
export const BUN_FOLDER = join(scratch, "bin");
mkdirSync(BUN_FOLDER);
for (const name of ["bun", "bunx"]) symlinkSync(process.execPath, join(BUN_FOLDER, name));

let packing: Promise<string> | undefined;

/** The path of tmqserver-VERSION.tgz, made as `bun publish` makes it. Packs once for all tests. */
export function packedPackage(): Promise<string> {
  packing ??= pack();
  return packing;
}

async function pack(): Promise<string> {
  const copy = join(scratch, "repository");
  cpSync(ROOT, copy, {
    recursive: true,
    // Else what is installed would seem older than the list of it.
    preserveTimestamps: true,
    filter: (path) => !LEFT_OUT.includes(relative(ROOT, path)),
  });
  symlinkSync(join(ROOT, "node_modules"), join(copy, "node_modules"));
  const packed = await run(["bun", "pm", "pack", "--quiet", "--destination", scratch], { cwd: copy });
  if (packed.code !== 0) throw new Error(`bun pm pack failed:\n${packed.stdout}${packed.stderr}`);
  return packed.stdout.trim().split("\n").at(-1)!;
}

/** A folder outside the repository with an empty project, and a state folder for servers beside it. */
export function emptyProject(name: string): { folder: string; state: string } {
  const folder = mkdtempSync(join(scratch, `${name}-`));
  writeFileSync(join(folder, "package.json"), '{ "private": true, "type": "module" }\n');
  return { folder, state: join(scratch, `state-of-${name}`) };
}

/** Runs a command to its end, the tests' own Bun first on PATH. */
export async function run(
  command: string[],
  options: { cwd: string; env?: Record<string, string | undefined> },
): Promise<Finished> {
  const PATH = `${BUN_FOLDER}${delimiter}${process.env.PATH}`;
  const child = Bun.spawn(command, {
    cwd: options.cwd,
    env: { ...process.env, NO_COLOR: "1", PATH, ...options.env },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  const [stdout, stderr, code] = await Promise.all([
    textOf(child.stdout),
    textOf(child.stderr),
    child.exited,
  ]);
  return { code, stdout, stderr };
}

function textOf(stream: ReadableStream<Uint8Array>): Promise<string> {
  return new Response(stream).text();
}

/** A port that nothing listens on: taken and given back at once. */
export async function freePort(): Promise<number> {
  const server = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: () => new Response() });
  const { port } = server;
  await server.stop(true);
  return port!;
}
