/**
 * From an empty folder to the first message consumed, by the command line alone: install from a warm
 * package cache, start, produce, consume. And how large the installed package is with all it depends on.
 * tinyMQ is installed from the tarball that would be published; bunqueue from the registry's, by then in
 * the cache. Both stop the clock when the message is printed; bunqueue's is acknowledged after that.
 */
import { lstatSync, mkdirSync, readdirSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { freePort, HOST, ServerProcess, temporaryFolder } from "../harness/server-process.ts";
import { figure } from "../harness/statistics.ts";
import { bunqueue } from "../peers/bunqueue.ts";
import type { Cost } from "../results.ts";
import type { CostMeasurement } from "./cost-measurement.ts";
import { Series } from "./measure.ts";

const STEP_TIMEOUT_MS = 30_000;
const BODY = '{"hello":"world"}';

/** What a user types, in one project folder. */
class Shell {
  readonly #env: Record<string, string>;
  readonly folder: string;

  constructor(work: string, name: string) {
    this.folder = join(work, name);
    mkdirSync(this.folder);
    this.#env = {
      PATH: `${join(work, "bin")}:${process.env.PATH ?? ""}`,
      BUN_INSTALL_CACHE_DIR: join(work, "cache"),
      TINYMQ_HOME: join(this.folder, "state"),
      HOME: work,
    };
    writeFileSync(join(this.folder, "package.json"), '{ "name": "try", "private": true }\n');
  }

  get env(): Record<string, string> {
    return this.#env;
  }

  /** Runs `bun` with these arguments and this standard input; what it printed. Throws if it fails. */
  async bun(args: string[], input = ""): Promise<string> {
    const child = Bun.spawn(["bun", ...args], {
      cwd: this.folder,
      env: { ...process.env, ...this.#env },
      stdio: [new TextEncoder().encode(input), "pipe", "pipe"],
      timeout: STEP_TIMEOUT_MS,
    });
    const [out, error] = await Promise.all([
      new Response(child.stdout).text(),
      new Response(child.stderr).text(),
    ]);
    if ((await child.exited) !== 0)
      throw new Error(`bun ${args.join(" ")}: ${(error || out).trim().split("\n").at(-1)}`);
    return out;
  }
}

export const install: CostMeasurement = {
  key: "install",
  title: "empty folder to first message consumed; installed size",
  modes: ["full"],
  async measure({ subjects, settings, progress, skipped }) {
    const work = temporaryFolder();
    const series = new Series();
    try {
      mkdirSync(join(work.path, "bin"));
      symlinkSync(process.execPath, join(work.path, "bin", "bun"));
      const tries: Try[] = [new TinymqTry(await pack(work.path))];
      if (subjects.includes(bunqueue)) tries.push(new BunqueueTry(await bunqueueVersion()));
      for (const one of tries) await oneTry(work.path, one, new Series(), "warm-up");
      for (let run = 0; run < settings.runs; run++) {
        for (const one of tries) {
          progress.step(`empty folder to first message: ${one.key}, run ${run + 1}`);
          await oneTry(work.path, one, series, String(run));
        }
      }
    } catch (error) {
      skipped["empty folder to first message"] = String(error).split("\n")[0]!;
    } finally {
      work.remove();
    }
    return series.entries().map(([key, values]): Cost => {
      const [cost, subject] = key.split("/");
      const unit = cost === "installed-size" ? "bytes" : "ms";
      return { cost: cost!, subject: subject!, at: null, unit, figure: figure(values) };
    });
  },
};

interface Try {
  readonly key: string;
  /** What `bun add` is given. */
  readonly wanted: string;
  /** Everything after the installation, up to the message on standard output. */
  firstMessage(shell: Shell): Promise<void>;
  /** Ends the server. */
  stop(shell: Shell): Promise<void>;
}

async function oneTry(work: string, one: Try, series: Series, run: string): Promise<void> {
  const shell = new Shell(work, `${one.key}-${run}`);
  // Only the warm-up may ask the registry.
  const offline = run === "warm-up" ? [] : ["--offline"];
  const began = performance.now();
  try {
    await shell.bun(["add", "--silent", ...offline, one.wanted]);
    await one.firstMessage(shell);
    series.add(`folder-to-first-message/${one.key}`, performance.now() - began);
    series.add(`installed-size/${one.key}`, bytesBelow(join(shell.folder, "node_modules")));
  } finally {
    await one.stop(shell);
  }
}

class TinymqTry implements Try {
  readonly key = "tinymq";
  readonly wanted: string;

  constructor(tarball: string) {
    this.wanted = tarball;
  }

  async firstMessage(shell: Shell): Promise<void> {
    const port = String(await freePort());
    await shell.bun(["x", "tmqserver", "start", "--port", port]);
    await shell.bun(["x", "tmqserver", "produce", "first"], `${BODY}\n`);
    requireBody(await shell.bun(["x", "tmqserver", "consume", "first", "--limit", "1"]));
  }

  async stop(shell: Shell): Promise<void> {
    await shell.bun(["x", "tmqserver", "stop"]).catch(() => {});
  }
}

class BunqueueTry implements Try {
  readonly key = "bunqueue";
  readonly wanted: string;
  #server: ServerProcess | undefined;

  constructor(version: string) {
    this.wanted = `bunqueue@${version}`;
  }

  async firstMessage(shell: Shell): Promise<void> {
    const [port, httpPort] = [await freePort(), await freePort()];
    const ports = ["--tcp-port", String(port), "--http-port", String(httpPort)];
    // Its start stays in the foreground.
    const program = join(shell.folder, "node_modules", ".bin", "bunqueue");
    this.#server = new ServerProcess(["bun", program, "start", "--host", HOST, ...ports], {
      cwd: shell.folder,
      env: shell.env,
    });
    await this.#server.listens(port);
    const address = ["--host", HOST, "--port", String(port)];
    await shell.bun(["x", "bunqueue", "push", "first", BODY, ...address]);
    requireBody(await shell.bun(["x", "bunqueue", "pull", "first", ...address]));
  }

  async stop(): Promise<void> {
    await this.#server?.stop();
    this.#server = undefined;
  }
}

function requireBody(printed: string): void {
  if (!/hello.*world/s.test(printed))
    throw new Error(`the message was not printed: ${printed.slice(0, 200)}`);
}

/** The tarball that would be published. */
async function pack(work: string): Promise<string> {
  const tarball = join(work, "tmqserver.tgz");
  const child = Bun.spawn(["bun", "pm", "pack", "--quiet", "--ignore-scripts", "--filename", tarball], {
    cwd: join(import.meta.dir, "..", ".."),
    env: {
      ...process.env,
      PATH: `${join(work, "bin")}:${dirname(process.execPath)}:${process.env.PATH ?? ""}`,
    },
    stdio: ["ignore", "ignore", "ignore"],
  });
  if ((await child.exited) !== 0) throw new Error("the package could not be packed");
  return tarball;
}

async function bunqueueVersion(): Promise<string> {
  const found = await bunqueue.find();
  return "version" in found ? found.version : "latest";
}

function bytesBelow(folder: string): number {
  let sum = 0;
  for (const entry of readdirSync(folder, { recursive: true, encoding: "utf8" })) {
    const stat = lstatSync(join(folder, entry));
    if (stat.isFile()) sum += stat.size;
  }
  return sum;
}
