/** The package's command, built as it is shipped: how it is called, where it looks for Bun, and without Bun. */
import { beforeAll, describe, expect, test } from "bun:test";
import { mkdirSync, readdirSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { buildPrograms } from "../../cli/build/programs.ts";
import { cleanEnvironment, finish, makeState, type Program, until, willEnd } from "./support.ts";

const state = makeState();
const dist = join(state.folder, "dist");
const launcher = join(dist, "launcher.sh");

beforeAll(async () => {
  mkdirSync(dist);
  await buildPrograms(dist);
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

/** Runs the command, by `link` if there is one. */
function launch(words: string[], env: Record<string, string | undefined> = {}, link = launcher): Program {
  return willEnd(
    Bun.spawn([link, ...words], {
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
      cwd: state.folder,
      env: {
        ...cleanEnvironment(),
        TINYMQ_HOME: state.home,
        HOME: state.folder,
        BUN_INSTALL: undefined,
        PATH: onlyPrograms("bun", "sh"),
        ...env,
      },
    }),
  );
}

const VERSION = { code: 0, stdout: "0.1.0\n", stderr: "" };

describe("with Bun on PATH", () => {
  test("it needs nothing but a shell, and is found through links", async () => {
    expect(await Bun.file(launcher).text()).toStartWith("#!/usr/bin/env sh\n");
    const bin = join(state.folder, "with a space", ".bin");
    mkdirSync(bin, { recursive: true });
    symlinkSync("../../dist/launcher.sh", join(bin, "tmq"));
    symlinkSync(join(bin, "tmq"), join(bin, "absolute"));
    const env = { PATH: onlyPrograms("bun", "sh", "readlink") };
    for (const name of ["tmq", "absolute"]) {
      expect(await finish(launch(["--version"], env, join(bin, name)))).toEqual(VERSION);
    }
    const wrong = await finish(launch(["produce", "a b", "--nonsense=* $HOME"], env));
    expect(wrong).toMatchObject({ code: 2, stdout: "" });
    expect(wrong.stderr).toContain("--nonsense");
    const byName = Bun.spawnSync(["/bin/sh", "launcher.sh", "--version"], { cwd: dist, env });
    expect(byName.stdout.toString()).toBe(VERSION.stdout);
  });

  test("the bundled program works, and so does its daemon", async () => {
    const started = await finish(launch(["--startserver", "--port", "0"]));
    expect(started).toMatchObject({ code: 0, stderr: "" });
    expect(await finish(launch(["status"]))).toMatchObject({ code: 0, stderr: "" });
    expect(await finish(launch(["start"]))).toMatchObject({ code: 1, stdout: "" });
    expect(await finish(launch(["start", "--nonsense"]))).toMatchObject({ code: 2, stdout: "" });
    expect(await finish(launch(["bench", "--count", "1000"]))).toMatchObject({ code: 0, stderr: "" });
    expect(await finish(launch(["--stopserver"]))).toMatchObject({ code: 0, stderr: "" });
  });

  test("the program takes its place: signals need nobody to pass them on", async () => {
    const server = launch(["start", "--foreground", "--port", "0"]);
    const { pid } = await until("the PID file", () => state.record());
    expect(pid).toBe(server.pid);
    server.kill("SIGTERM");
    expect(await server.exited).toBe(0);
    expect(state.record()).toBeNull();
  });

  test("a key press that comes twice, from the terminal and from npx, ends the server once, and well", async () => {
    const server = launch(["start", "--foreground", "--port", "0"]);
    await until("the PID file", () => state.record());
    server.kill("SIGINT");
    server.kill("SIGINT");
    expect(await server.exited).toBe(0);
    expect(state.record()).toBeNull();
  });
});

describe("without Bun on PATH", () => {
  const PATH = () => onlyPrograms("sh", "readlink");

  test("it finds Bun where its installer puts it", async () => {
    const env = { PATH: PATH(), BUN_INSTALL: join(state.folder, "bun-home") };
    mkdirSync(join(env.BUN_INSTALL, "bin"), { recursive: true });
    symlinkSync(process.execPath, join(env.BUN_INSTALL, "bin/bun"));
    expect(await finish(launch(["--version"], env))).toEqual(VERSION);
    symlinkSync(env.BUN_INSTALL, join(state.folder, ".bun"));
    expect(await finish(launch(["--version"], { PATH: PATH() }))).toEqual(VERSION);
  });

  test("it finds npm's package bun where it is installed beside it", async () => {
    const bin = join(state.folder, "project/node_modules/.bin");
    mkdirSync(bin, { recursive: true });
    symlinkSync(process.execPath, join(bin, "bun"));
    symlinkSync(launcher, join(bin, "tmqserver"));
    const env = { PATH: PATH(), HOME: "/nowhere" };
    expect(await finish(launch(["--version"], env, join(bin, "tmqserver")))).toEqual(VERSION);
  });

  test.each([
    ["with Node", ["sh", "node"]],
    ["without Node", ["sh"]],
  ])("%s and without any Bun it says how to get Bun", async (_node, programs) => {
    for (const HOME of ["/nowhere", undefined]) {
      const asked = await finish(launch(["start"], { PATH: onlyPrograms(...programs), HOME }));
      expect(asked).toMatchObject({ code: 1, stdout: "" });
      expect(asked.stderr).toContain("curl -fsSL https://bun.com/install | bash");
      expect(asked.stderr).toContain("npm install --global bun");
      expect(asked.stderr).toContain("npm install bun ");
    }
  });
});
