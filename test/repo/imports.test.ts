/** Imports run one way: the table of folders, no cycles, and no runtime where none belongs. */
import { describe, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { importsOf, ROOT, readSource, specifiersOf, typescriptFiles, withoutComments } from "./sources.ts";

interface Layer {
  readonly name: string;
  /** Whether a file of src or cli belongs to this layer; the first layer that says so has it. */
  readonly holds: (file: string) => boolean;
  /** The layers it may import beside itself. */
  readonly imports: readonly string[];
  /** What the name of a package that it may import starts with. */
  readonly packages: readonly string[];
}

const PROTOBUF = ["@protobuf-ts/runtime/", "@protobuf-ts/runtime-rpc/"];

/** The rooms of the house, and what each may import beside itself. */
const LAYERS: readonly Layer[] = [
  { name: "errors", holds: is("src/errors.ts"), imports: [], packages: [] },
  { name: "gen", holds: below("src/gen"), imports: [], packages: PROTOBUF },
  { name: "wire", holds: below("src/wire"), imports: ["gen", "errors"], packages: PROTOBUF },
  { name: "names", holds: is("src/did-you-mean.ts"), imports: [], packages: [] },
  { name: "log", holds: below("src/log"), imports: ["wire", "errors"], packages: [] },
  {
    name: "journal in SQLite",
    holds: below("src/journal/sqlite"),
    imports: ["journal", "wire", "errors"],
    packages: ["node:", "bun:"],
  },
  { name: "journal", holds: below("src/journal"), imports: ["wire", "gen", "errors"], packages: [] },
  { name: "broker", holds: below("src/broker"), imports: ["log", "wire", "gen", "errors"], packages: [] },
  {
    name: "session",
    holds: below("src/session"),
    imports: ["broker", "wire", "gen", "errors"],
    packages: PROTOBUF,
  },
  {
    name: "server",
    holds: below("src/server"),
    imports: ["session", "broker", "log", "wire", "gen", "names", "errors"],
    packages: [...PROTOBUF, "node:", "bun/", "bun:"],
  },
  {
    name: "client for Node",
    holds: (file) => below("src/client")(file) && /[./-]node\.ts$/.test(file),
    imports: ["client", "wire", "gen", "errors"],
    packages: [...PROTOBUF, "node:", "ws/"],
  },
  {
    name: "client",
    holds: below("src/client"),
    imports: ["wire", "gen", "names", "errors"],
    packages: PROTOBUF,
  },
  { name: "entry", holds: is("src/index.ts"), imports: ["client", "wire", "gen", "errors"], packages: [] },
  {
    name: "entry for Node",
    holds: is("src/index.node.ts"),
    imports: ["entry", "client", "client for Node", "wire", "gen", "errors"],
    packages: [],
  },
  {
    name: "cli",
    holds: below("cli"),
    imports: ["server", "client", "client for Node", "entry", "entry for Node", "names", "errors"],
    packages: ["citty/", "cli-progress/", "consola/", "node:", "bun/"],
  },
];

/** Layers that run in a browser. */
const ANYWHERE = ["errors", "gen", "wire", "names", "client", "entry"];

function is(path: string): (file: string) => boolean {
  return (file) => file === path;
}

function below(folder: string): (file: string) => boolean {
  return (file) => file.startsWith(`${folder}/`);
}

function layerOf(file: string): Layer | undefined {
  return LAYERS.find((layer) => layer.holds(file));
}

const files = [...typescriptFiles("src"), ...typescriptFiles("cli")];

describe("imports", () => {
  test("every way to import is seen, and no comment is", () => {
    const source = `
      import "./a.ts";
      import b from "./b.ts";
      import { c, type C } from "./c.ts";
      import type { D } from './d.ts';
      import * as e from "./e.ts";
      export * from "./f.ts";
      export {
        g,
      } from "./g.ts";
      export interface Empty {}
      import h, { hh } from "./h.ts";
      const i = await import("./i.ts");
      let j: import("./j.ts").J;
      const k = require("./k.ts");
      // import "./no.ts";
      /* import "./no.ts"; */
      /** import("./no.ts") */
      const url = "https://example.org";
      import "./l.ts";
      export const from = "no";
    `;
    expect(specifiersOf(source).sort()).toEqual("abcdefghijkl".split("").map((letter) => `./${letter}.ts`));
  });

  test("every file of src and cli belongs to a layer", () => {
    expect(files.filter((file) => layerOf(file) === undefined)).toEqual([]);
  });

  test("a layer imports only the layers that it may", () => {
    const refused = files.flatMap((file) => {
      const layer = layerOf(file);
      return importsOf(file)
        .filter((imported) => imported.file !== undefined && imported.file !== "package.json")
        .filter((imported) => {
          const target = layerOf(imported.file!);
          return target === undefined || (target !== layer && !layer?.imports.includes(target.name));
        })
        .map((imported) => `${file} imports ${imported.file}`);
    });
    expect(refused).toEqual([]);
  });

  test("a layer imports only the packages that it may", () => {
    const refused = files.flatMap((file) => {
      const allowed = layerOf(file)?.packages ?? [];
      return importsOf(file)
        .filter((imported) => imported.file === undefined)
        .filter(({ specifier }) => !allowed.some((name) => `${specifier}/`.startsWith(name)))
        .map(({ specifier }) => `${file} imports ${specifier}`);
    });
    expect(refused).toEqual([]);
  });

  test("what runs in a browser names neither Bun nor Node", () => {
    const named = files
      .filter((file) => ANYWHERE.includes(layerOf(file)?.name ?? ""))
      .filter((file) =>
        /(?<![.\w])(?:Bun|process|Buffer)\s*[.[(]|\bimport\.meta\b/.test(withoutComments(readSource(file))),
      );
    expect(named).toEqual([]);
  });

  test("every imported file exists under the name that is written", () => {
    const missing = files.flatMap((file) =>
      importsOf(file)
        .filter((imported) => imported.file !== undefined && !existsSync(join(ROOT, imported.file)))
        .map((imported) => `${file} imports ${imported.specifier}`),
    );
    expect(missing).toEqual([]);
  });

  test("no file imports itself by way of others, in the bench neither", () => {
    expect(findCycles([...files, ...typescriptFiles("bench"), ...typescriptFiles("test")])).toEqual([]);
  });

  test("a cycle is seen, types included", () => {
    const imports = { a: ["b"], b: ["c", "d"], c: [], d: ["a"] } as Record<string, string[]>;
    expect(findCycles(Object.keys(imports), (file) => imports[file]!)).toEqual(["a → b → d → a"]);
  });
});

/** Import cycles, each as "a → b → a". `import type` counts. */
function findCycles(all: readonly string[], imported = filesImportedBy): string[] {
  const known = new Set(all);
  const done = new Set<string>();
  const cycles: string[] = [];
  const visit = (file: string, trail: readonly string[]): void => {
    const start = trail.indexOf(file);
    if (start !== -1) {
      cycles.push([...trail.slice(start), file].join(" → "));
      return;
    }
    if (done.has(file) || !known.has(file)) return;
    for (const next of imported(file)) visit(next, [...trail, file]);
    done.add(file);
  };
  for (const file of all) visit(file, []);
  return cycles;
}

function filesImportedBy(file: string): string[] {
  return importsOf(file).flatMap((imported) => (imported.file === undefined ? [] : [imported.file]));
}
