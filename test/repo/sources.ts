/** The repository as its own tests read it: files, and which file imports what. */
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, normalize, relative, resolve } from "node:path";

/** The repository's folder. */
export const ROOT = resolve(import.meta.dir, "../..");

/** One import: what a file names, and the repository's file that it means (undefined: a package). */
export interface Import {
  readonly specifier: string;
  readonly file: string | undefined;
}

/** Paths, from the repository's folder, of the TypeScript files below `folder`. */
export function typescriptFiles(folder: string): string[] {
  return readdirSync(join(ROOT, folder), { recursive: true, encoding: "utf8" })
    .filter((file) => file.endsWith(".ts") && !file.includes("node_modules/"))
    .map((file) => join(folder, file))
    .sort();
}

/** The text of a file of the repository. */
export function readSource(file: string): string {
  return readFileSync(join(ROOT, file), "utf8");
}

const STATIC_IMPORT = /^\s*(?:import|export)\b[\w\s{},*$]*?(?:\bfrom\s*|\s)(["'])([^"'\n]+)\1/gm;
const DYNAMIC_IMPORT = /\b(?:import|require)\s*\(\s*(["'`])([^"'`\n]+)\1/g;

/**
 * What `source` imports, in whatever way: import, import type, export from, import(), import("…") in a
 * type, require(). Comments do not count.
 */
export function specifiersOf(source: string): string[] {
  const code = withoutComments(source);
  const found = [...code.matchAll(STATIC_IMPORT), ...code.matchAll(DYNAMIC_IMPORT)];
  return found.map((match) => match[2]!);
}

/** The imports of a file of the repository. */
export function importsOf(file: string): Import[] {
  return specifiersOf(readSource(file)).map((specifier) => ({
    specifier,
    file: specifier.startsWith(".") ? normalize(join(dirname(file), specifier)) : undefined,
  }));
}

/** `path` as seen from the repository's folder. */
export function fromRoot(path: string): string {
  return relative(ROOT, path);
}

/**
 * The code without comments, and with every other text kept. Strings and templates are stepped over, so
 * that "//" in them is no comment; a regular expression that holds a quote or "//" would mislead it.
 */
export function withoutComments(source: string): string {
  const token = /"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|`(?:[^`\\]|\\[\s\S])*`|\/\/[^\n]*|\/\*[\s\S]*?\*\//g;
  return source.replace(token, (text) => (text.startsWith("//") || text.startsWith("/*") ? " " : text));
}
