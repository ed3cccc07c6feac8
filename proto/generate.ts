/**
 * Makes src/gen/ from proto/: buf compiles, @protobuf-ts/plugin generates, relative imports get the extension
 * that Node and TypeScript want (the plugin writes them without), and fields their names. No network.
 *
 * Usage: bun proto/generate.ts [OUT]     (OUT: src/gen by default)
 */
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { lowerCamelCase } from "@protobuf-ts/runtime";

const root = resolve(import.meta.dir, "..");
const out = resolve(process.argv[2] ?? join(root, "src/gen"));
const work = mkdtempSync(join(tmpdir(), "tinymq-gen-"));

try {
  const { exitCode, stderr } = Bun.spawnSync(
    ["node_modules/.bin/buf", "generate", "proto", "--template", "proto/buf.gen.yaml", "--output", work],
    { cwd: root },
  );
  if (exitCode !== 0) throw new Error(`buf generate failed:\n${stderr}`);
  const generated = join(work, "src/gen");
  for (const file of readdirSync(generated, { recursive: true, encoding: "utf8" })) {
    if (!file.endsWith(".ts")) continue;
    const path = join(generated, file);
    const source = readFileSync(path, "utf8");
    writeFileSync(path, withNames(source.replace(/(from "\.{1,2}\/[^"]+?)(\.ts)?"/g, '$1.ts"')));
  }
  rmSync(out, { recursive: true, force: true });
  cpSync(generated, out, { recursive: true });
} finally {
  rmSync(work, { recursive: true, force: true });
}

/**
 * Every field with the names that it has in TypeScript and JSON. Where they are missing, the runtime works them
 * out of `name` at every start, letter by letter: enough for Bun to compile that twice, for 2 MiB of memory.
 */
function withNames(source: string): string {
  return source.replaceAll(/\{ no: (\d+), name: "(\w+)", /g, (_, number, name) => {
    const camel = lowerCamelCase(name);
    return `{ no: ${number}, name: "${name}", localName: "${camel}", jsonName: "${camel}", `;
  });
}
