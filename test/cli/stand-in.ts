/**
 * A server process without a server, for what is hard to see with a real one. `serve` is real; the server
 * listens nowhere, and ends as the second argument says.
 *
 * Usage: bun stand-in.ts FOLDER never|slowly|badly|unsaved     "ready" on standard output when it is ready
 */
import { serve } from "../../cli/daemon/serve.ts";

const [folder = "", manner = ""] = process.argv.slice(2);
/** Longer than the tests' time limit for a stop. */
const SLOW_STEPS = 60;

await serve(
  { folder, version: "0.0.0", options: {}, logLevel: "debug", logFormat: "text", log: "" },
  () => process.stdout.write("ready\n"),
  ({ logger, onSnapshotProgress }) => ({
    host: "localhost",
    port: 1,
    addresses: ["127.0.0.1"],
    async start() {
      if (manner === "badly") setTimeout(() => Promise.reject(new Error("a mistake")), 1);
    },
    async stop() {
      logger?.info("the server stops");
      if (manner === "never") await new Promise(() => setInterval(() => {}, 1_000));
      if (manner === "unsaved") throw new Error("the disk is full");
      for (let step = 0; manner === "slowly" && step < SLOW_STEPS; step += 1) {
        onSnapshotProgress?.();
        await Bun.sleep(10);
      }
    },
  }),
);
process.exit(0);
