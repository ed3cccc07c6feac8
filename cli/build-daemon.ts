/**
 * Makes the program `daemon`, and keeps out of its way what it does not need to listen. It is one file, so
 * that a server that waits for its first request finds the rest of its code though an upgrade has replaced
 * the package meanwhile. But JavaScript that is merely there is parsed at every start and stays in memory:
 * 180 kB of it made a start 6 ms longer and the waiting process 2 MiB larger. Packed text costs neither.
 */
import { join, resolve } from "node:path";
import type { BunPlugin } from "bun";

const SOURCE = resolve(import.meta.dir, "../src");
const LATER = join(SOURCE, "server/later.ts");
/** One module for both parts of the program: an error's class tells what it is. */
const ERRORS = join(SOURCE, "errors.ts");
const SHARED = "tinymq:errors";

/** The files that went into the program, as paths relative to the working directory. */
export interface DaemonInputs {
  /** What every start parses. */
  readonly eager: string[];
  /** What is packed until somebody needs it. */
  readonly later: string[];
}

/** Writes daemon.js, and daemon.js.jsc beside it, into `outdir`. */
export async function buildDaemon(outdir: string): Promise<DaemonInputs> {
  // Not done by the plugin when it is asked: Bun's builds wait for each other.
  const later = await Bun.build({
    entrypoints: [LATER],
    target: "bun",
    format: "cjs",
    // Names stay: a stack in the log must tell something.
    minify: { whitespace: true, syntax: true },
    metafile: true,
    plugins: [sharedErrors],
  });
  const contents = unpacking(await later.outputs[0]!.text());
  const eager = await Bun.build({
    entrypoints: [join(import.meta.dir, "daemon.ts")],
    outdir,
    target: "bun",
    // Bun finds the compiled form of every function in daemon.js.jsc, which makes a start 4 ms shorter;
    // another version of Bun than the one that built it does without.
    format: "cjs",
    bytecode: true,
    minify: { whitespace: true, syntax: true },
    metafile: true,
    plugins: [inPlaceOfLater(contents)],
  });
  return { eager: inputsOf(eager), later: inputsOf(later) };
}

function inputsOf({ metafile }: Bun.BuildOutput): string[] {
  return Object.keys(metafile?.inputs ?? {});
}

function inPlaceOfLater(contents: string): BunPlugin {
  return {
    name: "in-place-of-later",
    setup(build) {
      build.onLoad({ filter: /\/src\/server\/later\.ts$/ }, () => ({ loader: "js", contents }));
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
