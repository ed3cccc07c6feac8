/** What makes shipped code look like malware, or keeps a person from reading it. */

/** Characters of a line that a person still reads. */
const LONGEST_LINE = 1_000;

const FAULTS: readonly (readonly [what: string, pattern: RegExp])[] = [
  ["evaluates text", /(?<![.\w$])eval\b|\bFunction\s*\(|\bnode:vm\b|\bimport\s*\(\s*["'`]data:/],
  [
    "unpacks something",
    /\b(?:inflate|gunzip|unzip|brotliDecompress|zstdDecompress)\w*\s*\(|\bDecompressionStream\b/,
  ],
  ["holds packed data", /[A-Za-z0-9+/=]{201,}/],
  ["holds escaped data", /(?:\\x[0-9a-f]{2}|\\u[0-9a-f]{4}){40,}/i],
  ["has a line that is too long", new RegExp(`^.{${LONGEST_LINE + 1},}$`, "m")],
  ["is a script for a shell, too", /^#!(?!\/usr\/bin\/env (?:node|bun)\n)|^":"/],
  ["is compiled", /\0|^\/\/ @bytecode/m],
];

/** What is wrong with the text of a JavaScript file; nothing if all is well. */
export function unreadable(code: string): string[] {
  return FAULTS.filter(([, pattern]) => pattern.test(code)).map(([what]) => what);
}

/** The classes of a JavaScript file that call themselves otherwise than they are named: "InitFailed2: InitFailed". */
export function renamedClasses(code: string): string[] {
  const named = code.matchAll(/\bclass (\w+) extends \w+ \{\s*(?:\/\*\*[^*]*\*\/\s*)?name = "(\w+)"/g);
  return [...named].filter(([, real, shown]) => real !== shown).map(([, real, shown]) => `${real}: ${shown}`);
}
