/**
 * Keeps out of the daemon's way what it does not need to listen. Its program is one file, so that a server
 * that waits for its first request finds the rest of its code though an upgrade has replaced the package
 * meanwhile. But JavaScript that is merely there is parsed at every start and stays in memory: 180 kB of it
 * made a start 6 ms longer and the waiting process 2 MiB larger. A string is neither, packed still less.
 */
import { join, resolve } from "node:path";
import type { BunPlugin } from "bun";

const SOURCE = resolve(import.meta.dir, "../src");
const LATER = join(SOURCE, "server/later.ts");
/** One module for both parts of the program: an error's class tells what it is. */
const ERRORS = join(SOURCE, "errors.ts");
const SHARED = "tinymq:errors";

export interface PackedLater {
  /** For a build with the target Bun: puts packed text in place of what src/server/later.ts loads. */
  readonly plugin: BunPlugin;
  /** The files whose code is in the text. */
  readonly inputs: string[];
}

/** Packs. Not done by the plugin when it is asked: Bun's builds wait for each other. */
export async function packLater(): Promise<PackedLater> {
  const { outputs, metafile } = await Bun.build({
    entrypoints: [LATER],
    target: "bun",
    format: "cjs",
    minify: true,
    metafile: true,
    plugins: [sharedErrors],
  });
  const contents = unpacking(await outputs[0]!.text());
  return {
    inputs: Object.keys(metafile?.inputs ?? {}),
    plugin: {
      name: "pack-later",
      setup(build) {
        build.onLoad({ filter: /\/src\/server\/later\.ts$/ }, () => ({ loader: "js", contents }));
      },
    },
  };
}

const sharedErrors: BunPlugin = {
  name: "shared-errors",
  setup(build) {
    build.onResolve({ filter: /\/errors\.ts$/ }, () => ({ path: SHARED, external: true }));
  },
};

/** The module that takes the place of later.ts. A bundle in the format "cjs" is one function expression. */
function unpacking(bundle: string): string {
  const packed = Buffer.from(Bun.deflateSync(Buffer.from(bundle), { level: 9 })).toString("base64");
  return `
    import * as errors from ${JSON.stringify(ERRORS)};
    let later = null;
    function unpack() {
      if (later !== null) return later;
      const text = new TextDecoder().decode(Bun.inflateSync(Buffer.from(${JSON.stringify(packed)}, "base64")));
      const module = { exports: {} };
      const find = (name) => (name === ${JSON.stringify(SHARED)} ? errors : require(name));
      (0, eval)(text + "\\n//# sourceURL=tinymq-later.js")(module.exports, find, module);
      later = module.exports;
      return later;
    }
    export const loadCore = async () => unpack().loadCore();
    export const loadSnapshotFile = async () => unpack().loadSnapshotFile();
  `;
}
