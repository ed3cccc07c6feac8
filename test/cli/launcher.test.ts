/** The package's command, built as it is shipped: under Node and Bun, and where one of them is missing. */
import { beforeAll, describe, expect, test } from "bun:test";
import { mkdirSync, readdirSync, renameSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { buildLauncher } from "../../cli/build-launcher.ts";
import { CLI, cleanEnvironment, finish, makeState, type Program, until, willEnd } from "./support.ts";

const state = makeState();
const dist = join(state.folder, "dist");
const launcher = join(dist, "launcher.js");
const node = Bun.which("node")!;

beforeAll(async () => {
  const entrypoints = ["main.ts", "daemon.ts"].map((name) => join(CLI, name));
  await Bun.build({ entrypoints, outdir: dist, target: "bun", minify: true });
  await buildLauncher(dist);
  renameSync(join(dist, "main.js"), join(dist, "cli.js"));
});

/** A folder for PATH that has only these programs. */
function onlyPrograms(...names: string[]): string {
  const folder = join(state.folder, `only-${names.join("-")}`);
  mkdirSync(folder, { recursive: true });
  const present = readdirSync(folder);
  for (const name of names.filter((each) => !present.includes(each))) {
    symlinkSync(name === "bun" ? process.execPath : Bun.which(name)!, join(folder, name));
  }
  return folder;
}

/** `runtime` "": the file itself is run, as a shell does. `link`: under this name. */
function launch(
  runtime: string,
  words: string[],
  env: Record<string, string | undefined> = {},
  link?: string,
): Program {
  return willEnd(
    Bun.spawn([...(runtime === "" ? [] : [runtime]), link ?? launcher, ...words], {
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
      cwd: state.folder,
      env: {
        ...cleanEnvironment(),
        TINYMQ_HOME: state.home,
        HOME: state.folder,
        BUN_INSTALL: undefined,
        PATH: onlyPrograms("node", "bun", "sh"),
        ...env,
      },
    }),
  );
}

describe("launcher", () => {
  test("is a script for a shell, with Bun on PATH and nothing else", async () => {
    expect(await Bun.file(launcher).text()).toStartWith("#!/usr/bin/env sh\n");
    const bin = join(state.folder, "with a space", ".bin");
    mkdirSync(bin, { recursive: true });
    symlinkSync("../../dist/launcher.js", join(bin, "tmq"));
    symlinkSync(join(bin, "tmq"), join(bin, "absolute"));
    const env = { PATH: onlyPrograms("bun", "sh", "readlink") };
    for (const name of ["tmq", "absolute"]) {
      const version = await finish(launch("", ["--version"], env, join(bin, name)));
      expect(version).toEqual({ code: 0, stdout: "0.1.0\n", stderr: "" });
    }
    const wrong = await finish(launch("", ["produce", "a b", "--nonsense=* $HOME"], env));
    expect(wrong).toMatchObject({ code: 2, stdout: "" });
    expect(wrong.stderr).toContain("--nonsense");
    expect(await finish(launch("/bin/sh", ["--version"], env))).toMatchObject({ code: 0 });
  });

  test("asks Node where Bun is not on PATH, and without Node says how to get Bun", async () => {
    const asked = await finish(launch("", ["start"], { PATH: onlyPrograms("node", "sh", "cat") }));
    expect(asked).toMatchObject({ code: 1, stdout: "" });
    expect(asked.stderr).toContain("npm install --global bun");
    const alone = await finish(launch("", ["start"], { PATH: onlyPrograms("sh", "cat") }));
    expect(alone).toMatchObject({ code: 1, stdout: "" });
    expect(alone.stderr).toContain("curl -fsSL https://bun.com/install | bash");
  });

  test("is replaced by the program where a shell runs it: signals need nobody to pass them on", async () => {
    const server = launch("", ["start", "--foreground", "--port", "0"]);
    const { pid } = await until("the PID file", () => state.record());
    expect(pid).toBe(server.pid);
    server.kill("SIGTERM");
    expect(await server.exited).toBe(0);
    expect(state.record()).toBeNull();
  });

  test.each([
    ["Node, which finds Bun on PATH", node],
    ["Bun alone", process.execPath],
  ])("under %s the bundled program works, and so does its daemon", async (_runtime, runtime) => {
    const started = await finish(launch(runtime, ["--startserver", "--port", "0"]));
    expect(started).toMatchObject({ code: 0, stderr: "" });
    expect(await finish(launch(runtime, ["status"]))).toMatchObject({ code: 0, stderr: "" });
    expect(await finish(launch(runtime, ["start"]))).toMatchObject({ code: 1, stdout: "" });
    expect(await finish(launch(runtime, ["start", "--nonsense"]))).toMatchObject({ code: 2, stdout: "" });
    expect(await finish(launch(runtime, ["--stopserver"]))).toMatchObject({ code: 0, stderr: "" });
  });

  test("finds Bun where its installer puts it", async () => {
    const env = { PATH: onlyPrograms("node"), BUN_INSTALL: join(state.folder, "bun-home") };
    mkdirSync(join(env.BUN_INSTALL, "bin"), { recursive: true });
    symlinkSync(process.execPath, join(env.BUN_INSTALL, "bin/bun"));
    expect(await finish(launch(node, ["--version"], env))).toEqual({
      code: 0,
      stdout: "0.1.0\n",
      stderr: "",
    });
  });

  test("says how to get Bun where there is none", async () => {
    const { code, stdout, stderr } = await finish(launch(node, ["start"], { PATH: onlyPrograms("node") }));
    expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
    expect(stderr).toContain("curl -fsSL https://bun.com/install | bash");
    expect(stderr).toContain("npm install --global bun");
  });

  test("passes signals on, and ends as the program ends", async () => {
    const server = launch(node, ["start", "--foreground", "--port", "0"]);
    const { pid } = await until("the PID file", () => state.record());
    expect(pid).not.toBe(server.pid);
    server.kill("SIGTERM");
    expect(await server.exited).toBe(0);
    expect(state.record()).toBeNull();
  });

  test("a key press that comes twice, from the terminal and from Node, ends the server once, and well", async () => {
    const server = launch(node, ["start", "--foreground", "--port", "0"]);
    const { pid } = await until("the PID file", () => state.record());
    process.kill(pid, "SIGINT");
    server.kill("SIGINT");
    expect(await server.exited).toBe(0);
    expect(state.record()).toBeNull();
  });
});
