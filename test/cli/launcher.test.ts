/** The package's command, built as it is shipped: under Node and Bun, and where one of them is missing. */
import { beforeAll, describe, expect, test } from "bun:test";
import { mkdirSync, readdirSync, renameSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { CLI, cleanEnvironment, finish, makeState, type Program, until, willEnd } from "./support.ts";

const state = makeState();
const dist = join(state.folder, "dist");
const launcher = join(dist, "launcher.js");
const node = Bun.which("node")!;

beforeAll(async () => {
  const entrypoints = ["main.ts", "daemon.ts"].map((name) => join(CLI, name));
  await Bun.build({ entrypoints, outdir: dist, target: "bun", minify: true });
  await Bun.build({ entrypoints: [join(CLI, "launcher.ts")], outdir: dist, target: "node" });
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

function launch(runtime: string, words: string[], env: Record<string, string | undefined> = {}): Program {
  return willEnd(
    Bun.spawn([runtime, launcher, ...words], {
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
      cwd: state.folder,
      env: {
        ...cleanEnvironment(),
        TINYMQ_HOME: state.home,
        HOME: state.folder,
        BUN_INSTALL: undefined,
        PATH: onlyPrograms("node", "bun"),
        ...env,
      },
    }),
  );
}

describe("launcher", () => {
  test("is a script for Node", async () => {
    expect(await Bun.file(launcher).text()).toStartWith("#!/usr/bin/env node\n");
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
