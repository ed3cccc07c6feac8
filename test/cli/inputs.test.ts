/** What a command is given beside its words: files that are none, tokens, and the environment. */
import { describe, expect, test } from "bun:test";
import { mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { LOG_FILE } from "../../cli/daemon/state-folder.ts";
import { unknownVariables } from "../../cli/server-arguments.ts";
import { makeState, NAME, type State } from "./support.ts";

function makeFifo(path: string): string {
  Bun.spawnSync(["mkfifo", "-m", "600", path]);
  return path;
}

const CLIENTS = ["status --port 1", "topics --port 1", "produce x", "consume x", "tail x", "bench"];

describe("a file that is none", () => {
  test.each([
    ["a FIFO", (path: string) => makeFifo(path)],
    ["a folder", (path: string) => mkdirSync(path)],
  ])("%s as the log: start says so at once, and leaves nothing", async (_what, make) => {
    const state = makeState();
    mkdirSync(state.home, { mode: 0o700 });
    const log = join(state.home, LOG_FILE);
    make(log);
    const stderr = `error: the log ${log} is not a regular file: move it away\n`;
    expect(await state.run(["start", "--port", "0"])).toEqual({ code: 1, stdout: "", stderr });
    expect(readdirSync(state.home)).toEqual([LOG_FILE]);
  });

  test("a snapshot in a folder that does not exist", async () => {
    const state = makeState();
    const { code, stderr } = await state.run(["start", "--port", "0", "--snapshot", "nodir/x"]);
    expect(code).toBe(1);
    expect(stderr).toContain(`/nodir does not exist: create it\n`);
  });

  test("a FIFO as the token file of a client", async () => {
    const state = makeState();
    const fifo = makeFifo(join(state.folder, "fifo"));
    const said = `error: token-file: ${fifo} is a FIFO, not a file\n`;
    for (const line of CLIENTS) {
      const words = [...line.split(" "), "--token-file", fifo];
      const stderr = `${said}Try: ${NAME} ${words[0]} --help\n`;
      expect(await state.run(words, { stdin: "a\n" })).toEqual({ code: 2, stdout: "", stderr });
    }
    const { code, stderr } = await state.run(["topics"], { env: { TINYMQ_TOKEN_FILE: fifo } });
    expect({ code, stderr }).toEqual({ code: 2, stderr: `${said}Try: ${NAME} topics --help\n` });
  });
});

describe("a token file is read in one way", () => {
  const state = makeState();
  const file = join(state.folder, "token");
  const errorOf = async (words: string[], of: State = state) => {
    const { code, stderr } = await of.run([...words, "--token-file", file]);
    return { code, said: stderr.split("Try: ")[0] };
  };

  test.each([
    ["two lines", "secret\n# the new one\n", "the file has several lines: put only the token into it"],
    ["nothing", " \n", "the file contains no token"],
    ["a control character", "a\tb", "the token must be one line without control characters"],
  ])("%s: a server and a client say the same", async (_what, text, why) => {
    writeFileSync(file, text);
    const said = { code: 2, said: `error: token-file: ${file}: ${why}\n` };
    expect(await errorOf(["start", "--port", "0"])).toEqual(said);
    expect(await errorOf(["topics", "--port", "1"])).toEqual(said);
  });

  test("a token in the environment that no header can carry is refused by its variable", async () => {
    for (const words of [["topics", "--port", "1"], ["start"]]) {
      const { code, stderr } = await state.run(words, { env: { TINYMQ_TOKEN: "a\nb" } });
      expect(code).toBe(2);
      expect(stderr).toStartWith("error: TINYMQ_TOKEN: the token must be one line");
    }
  });

  test("that the running server names and that is gone is no wrong usage", async () => {
    const other = makeState();
    writeFileSync(join(other.folder, "token"), "secret\n");
    const words = ["start", "--port", "0", "--token-file", "token"];
    expect(await other.run(words)).toMatchObject({ code: 0 });
    rmSync(join(other.folder, "token"));
    const { code, stderr } = await other.run(["topics"]);
    expect(code).toBe(1);
    expect(stderr).toMatch(/^error: token-file: there is no file .*\n$/);
  });

  test("a command that is refused for its token says how it takes one", async () => {
    const other = makeState();
    const env = { TINYMQ_TOKEN: "secret" };
    expect(await other.run(["start", "--port", "0"], { env })).toMatchObject({ code: 0 });
    for (const words of [["topics"], ["status"], ["consume", "t"], ["produce", "t"], ["tail", "t"]]) {
      const { code, stderr } = await other.run(words, { stdin: "a\n" });
      expect({ words, code }).toEqual({ words, code: 1 });
      expect(stderr).toMatch(
        /(requires a token|the token is missing or wrong): name its file with --token-file, or set TINYMQ_TOKEN[;\n]/,
      );
    }
  });
});

describe("the environment", () => {
  const state = makeState();

  test("a wrong value of a client's is named by its variable", async () => {
    const status = await state.run(["status"], { env: { TINYMQ_PORT: "99999" } });
    expect(status.code).toBe(2);
    expect(status.stderr).toStartWith('error: TINYMQ_PORT: "99999" is not at most 65535');
  });

  test("a variable that nobody reads is named by every command, once, and what may have been meant", async () => {
    const env = {
      TINYMQ_MAX_MEMRY: "1MiB",
      TINYMQ_NONSENSE: "1",
      TINYMQ_PORT: "0",
      TINYMQ_LOG_LEVEL: "debug",
    };
    const { code, stderr } = await state.run(["start"], { env });
    expect(code).toBe(0);
    expect(stderr.split("\n").sort()).toEqual([
      "",
      "warning: TINYMQ_MAX_MEMRY in the environment is unknown, and ignored; did you mean TINYMQ_MAX_MEMORY?",
      "warning: TINYMQ_NONSENSE in the environment is unknown, and ignored",
    ]);
    const warning =
      "warning: TINYMQ_TOKN in the environment is unknown, and ignored; did you mean TINYMQ_TOKEN?\n";
    for (const words of [["topics"], ["status"], ["produce", "t"], ["stop"]]) {
      const ran = await state.run(words, { env: { TINYMQ_TOKN: "secret" }, stdin: "" });
      expect({ words, code: ran.code }).toEqual({ words, code: 0 });
      expect(ran.stderr.split(warning).length).toBe(2);
    }
  });

  test("every variable that is read is known", () => {
    const names = ["TINYMQ_HOME", "TINYMQ_TOKEN", "TINYMQ_TOKEN_FILE", "TINYMQ_LOG_FORMAT", "TINYMQ_NO_AUTH"];
    expect(unknownVariables(Object.fromEntries(names.map((name) => [name, ""])))).toEqual([]);
    expect(unknownVariables({ PATH: "", NOT_TINYMQ_PORT: "" })).toEqual([]);
  });
});
