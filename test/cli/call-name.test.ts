/** How people are told to call the program again. */
import { expect, test } from "bun:test";
import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { callName } from "../../cli/call-name.ts";
import { CLI, finish, makeState } from "./support.ts";

const state = makeState();

/** An installed package in `folder`, and its command in `bin`. Returns its main file. */
function install(folder: string, bin: string): string {
  const dist = join(state.folder, folder, "node_modules/tmqserver/dist");
  mkdirSync(join(dist, "cli"), { recursive: true });
  mkdirSync(join(state.folder, bin), { recursive: true });
  writeFileSync(join(dist, "launcher.sh"), "#!/bin/sh\n", { mode: 0o755 });
  symlinkSync(join(dist, "launcher.sh"), join(state.folder, bin, "tmqserver"));
  writeFileSync(join(dist, "cli/main.js"), "");
  return join(dist, "cli/main.js");
}

const bun = join(state.folder, "bun-bin");
mkdirSync(bun);
symlinkSync(process.execPath, join(bun, "bun"));
const everywhere = install("global", "usr-bin");
const globalBin = join(state.folder, "usr-bin");
const project = install("project", "project/node_modules/.bin");
const projectBin = join(state.folder, "project/node_modules/.bin");
const fetched = install("npm/_npx/0123", "npm/_npx/0123/node_modules/.bin");
const fetchedBin = join(state.folder, "npm/_npx/0123/node_modules/.bin");
const bunx = install("bunx-0-tmqserver@latest", "bunx-0-tmqserver@latest/node_modules/.bin");
const npm = join(state.folder, "npm-bin");
mkdirSync(npm);
writeFileSync(join(npm, "npx"), "#!/bin/sh\n", { mode: 0o755 });
const BUNX = { npm_config_user_agent: "bun/1.4.5 npm/? node/v26.3.0 linux x64" };
const NPM = { npm_config_user_agent: "npm/10.0.0 node/v22.0.0 linux x64" };

test.each([
  ["installed for everybody", everywhere, { PATH: `${globalBin}:${bun}` }, "tmqserver"],
  [
    "in a project, with another one for everybody",
    project,
    { PATH: `${globalBin}:${bun}` },
    "bunx tmqserver",
  ],
  ["in a project, through bunx", project, { PATH: `${projectBin}:${bun}` }, "bunx tmqserver"],
  ["in a project, through npx", project, { PATH: `${projectBin}:${bun}`, ...NPM }, "npx tmqserver"],
  ["in a project, Bun not on PATH", project, { PATH: `${projectBin}:${npm}` }, "npx tmqserver"],
  [
    "in a project, through its own bunx",
    project,
    { PATH: `${projectBin}:${npm}`, ...BUNX },
    "bunx tmqserver",
  ],
  ["in a project, neither Bun nor npx on PATH", project, { PATH: projectBin }, "bunx tmqserver"],
  ["fetched by npx", fetched, { PATH: `${fetchedBin}:${bun}` }, "npx tmqserver"],
  ["fetched by bunx", bunx, { PATH: bun }, "bunx tmqserver"],
  ["the sources", "/src/mq/cli/main.ts", { PATH: bun }, "bun cli/main.ts"],
  [
    "the sources, from elsewhere",
    "/src/other mq/cli/main.ts",
    { PATH: bun },
    "bun '/src/other mq/cli/main.ts'",
  ],
])("%s", (_how, main, environment, name) => {
  expect(callName(main, environment, "/src/mq")).toBe(name);
});

test("what start prints can be typed as it stands", async () => {
  const PATH = `${bun}:${process.env.PATH}`;
  const started = await state.run(["start", "--port", "0"], { env: { PATH } });
  const lines = started.stdout.split("Try next:\n")[1]!.trim().split("\n");
  expect(lines.length).toBe(4);
  expect(lines[0]).toContain(join(CLI, "main.ts"));
  const outputs: string[] = [];
  for (const line of lines) {
    const shell = Bun.spawn(["sh", "-c", line.trim()], {
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
      cwd: state.folder,
      env: { ...process.env, PATH, TINYMQ_HOME: state.home },
    });
    const { code, stdout } = await finish(shell);
    expect({ line, code }).toEqual({ line, code: 0 });
    outputs.push(stdout);
  }
  expect(outputs[1]).toBe("hello\n");
  expect(state.record()).toBeNull();
});
