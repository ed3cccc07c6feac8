/** What a command line means, and which ones are refused. */
import { describe, expect, test } from "bun:test";
import { UsageError } from "../../cli/command.ts";
import { MisusedCommand, readCommandLine } from "../../cli/command-line.ts";
import { helpText } from "../../cli/help.ts";
import { root } from "../../cli/root.ts";
import { OPTIONS } from "../../src/server/option-table.ts";
import { makeState, NAME } from "./support.ts";

function read(line: string) {
  return readCommandLine(line === "" ? [] : line.split(" "), root);
}

describe("understood", () => {
  test.each([
    ["start", "start", ["--"]],
    ["start --port 1 --host=::1", "start", ["--port=1", "--host=::1", "--"]],
    ["start --no-auth --foreground", "start", ["--no-auth", "--foreground", "--"]],
    [
      "--startserver --host localhost --port 9800 --log-level info",
      "start",
      ["--host=localhost", "--port=9800", "--log-level=info", "--"],
    ],
    [
      "--port 9800 --log-level info --startserver --host localhost",
      "start",
      ["--port=9800", "--log-level=info", "--host=localhost", "--"],
    ],
    ["--stopserver", "stop", ["--"]],
    ["--timeout 3s --stopserver", "stop", ["--timeout=3s", "--"]],
    ["topics", "topics", ["--"]],
    ["topics --json --prefix a=b", "topics", ["--json", "--prefix=a=b", "--"]],
    ["topics purge orders", "topics purge", ["--", "orders"]],
    ["topics purge -- --json", "topics purge", ["--", "--json"]],
    ["topics redrive --limit 5 orders", "topics redrive", ["--limit=5", "--", "orders"]],
    ["topics redrive --limit -5 orders", "topics redrive", ["--limit=-5", "--", "orders"]],
  ])("%s", async (line, path, rawArgs) => {
    expect(await read(line)).toMatchObject({ kind: "run", path, rawArgs });
  });

  test.each([
    ["--help", ""],
    ["-h", ""],
    ["help", ""],
    ["help start", "start"],
    ["help topics purge", "topics purge"],
    ["--help stop", "stop"],
    ["start --help", "start"],
    ["start --port 1 -h", "start"],
    ["--startserver --help", "start"],
    ["topics redrive --help", "topics redrive"],
  ])("%s asks for help", async (line, path) => {
    expect(await read(line)).toMatchObject({ kind: "help", path });
  });

  test("--version", async () => {
    expect(await read("--version")).toEqual({ kind: "version" });
    expect(await read("-v")).toEqual({ kind: "version" });
  });
});

describe("refused, and the offender named", () => {
  test.each([
    ["", "a command is missing", ""],
    ["strat", 'unknown command "strat"; did you mean start?', ""],
    ["topics prug x", 'unknown command "prug"', "topics"],
    ["start --prot 1", "unknown option --prot; did you mean --port?", "start"],
    ["start --maxMemory 1", "unknown option --maxMemory; did you mean --max-memory?", "start"],
    ["start --auth", "unknown option --auth", "start"],
    ["start -p 1", "unknown option -p", "start"],
    ["start --port", "option --port needs a value", "start"],
    ["start --port=", "option --port needs a value", "start"],
    ["start --host --port 1", "option --host needs a value", "start"],
    ["start --foreground=yes", "option --foreground takes no value", "start"],
    ["start --port 1 --port 2", "option --port is given twice", "start"],
    ["start --foreground --foreground", "option --foreground is given twice", "start"],
    ["start now", 'unexpected argument "now"', "start"],
    ["start -- --port", 'unexpected argument "--port"', "start"],
    ["topics purge", "TOPIC is missing", "topics purge"],
    ["topics purge one two", 'unexpected argument "two"', "topics purge"],
    ["--port 9801 start", 'option --port comes before the command: put it after "start"', ""],
    ["--port 9801", "option --port is unknown here", ""],
    ["--nonsense", "option --nonsense is unknown here", ""],
    ["--startserver --stopserver", "--startserver and --stopserver cannot be given together", ""],
    ["--startserver --startserver", "--startserver and --startserver cannot be given together", ""],
    ["--startserver stop", 'unexpected argument "stop"', "start"],
    ["--startserver --host --port 1", "option --host needs a value", "start"],
    ["start --startserver", "unknown option --startserver", "start"],
    ["--version now", "option --version is unknown here", ""],
  ])("%s", async (line, message, path) => {
    const error = await read(line).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(UsageError);
    expect((error as UsageError).message).toContain(message);
    expect(error instanceof MisusedCommand ? error.path : "").toBe(path);
  });

  const state = makeState();

  test.each([
    [["start", "--port", "abc"], '--port: "abc" is not a whole number', "start --help"],
    [["start", "--port", "65536"], '--port: "65536" is not at most 65535', "start --help"],
    [["start", "--max-memory", "lots"], '--max-memory: "lots" is not a size', "start --help"],
    [
      ["start", "--overflow", "maybe"],
      '--overflow: "maybe" is not one of reject, drop-oldest',
      "start --help",
    ],
    [
      ["start", "--log-level", "loud"],
      '--log-level: "loud" is not one of debug, info, warn, error',
      "start --help",
    ],
    [["stop", "--timeout", "soon"], '--timeout: "soon" is not a duration', "stop --help"],
    [["status", "--port", "0"], '--port: "0" is not at least 1', "status --help"],
    [["bench", "--count", "-5"], '--count: "-5" is not a whole number', "bench --help"],
    [["bench", "--count", "0"], '--count: "0" is not at least 1', "bench --help"],
    [["bench", "--producers", "0"], '--producers: "0" is not at least 1', "bench --help"],
    [["bench", "--consumers", "1001"], '--consumers: "1001" is not at most 1000', "bench --help"],
    [["bench", "--rate", "fast"], '--rate: "fast" is not a whole number', "bench --help"],
    [["bench", "--size", "big"], '--size: "big" is not a size', "bench --help"],
    [["start", "--token-file", "missing.txt"], "token-file: there is no file /", "start --help"],
    [["consume", ""], "a topic name must have 1 to 255 bytes", "consume --help"],
    [["produce", "a\tb"], "a topic name must not contain control characters", "produce --help"],
    [["tail", "x".repeat(256)], "a topic name may have at most 255 bytes", "tail --help"],
    [["topics", "redrive", ""], "a topic name must have", "topics redrive --help"],
    [["nonsense"], 'unknown command "nonsense"', "--help"],
  ])("%p exits with 2", async (words, message, hint) => {
    const { code, stdout, stderr } = await state.run(words);
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
    expect(stderr).toContain(`error: ${message}`);
    expect(stderr).toContain(`Try: ${NAME} ${hint}\n`);
    expect(state.record()).toBeNull();
  });

  test("a wrong value in the environment is named by its variable", async () => {
    const { code, stderr } = await state.run(["start"], { env: { TINYMQ_MAX_MEMORY: "lots" } });
    expect(code).toBe(2);
    expect(stderr).toStartWith('error: TINYMQ_MAX_MEMORY: "lots" is not a size');
  });

  test("no command at all: the help, on standard error", async () => {
    const { code, stdout, stderr } = await state.run([]);
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
    expect(stderr).toContain("Commands:\n  start");
  });
});

describe("help", () => {
  const state = makeState();

  test("goes to standard output, and is plain where that is no terminal", async () => {
    const { code, stdout, stderr } = await state.run(["--help"]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(stdout).toContain("Examples:\n  tmqserver start\n");
    expect(stdout).not.toContain("\x1b");
  });

  test("every command has a description, examples, and help for every option", async () => {
    const load = Object.values(root.subCommands ?? {});
    for (const command of await Promise.all(load.map((each) => each()))) {
      expect(command.meta.description).not.toBe("");
      expect(command.examples.length).toBeGreaterThan(0);
      expect(Object.values(command.args).filter(({ description }) => !description)).toEqual([]);
      const text = await helpText(command.meta.name, command, (title) => title);
      expect(text.split("\n").filter((line) => line.length > 110)).toEqual([]);
    }
  });

  test("start has every option of a server", async () => {
    const start = await root.subCommands!.start!();
    const text = await helpText("start", start, (title) => title);
    for (const { name, help } of OPTIONS) {
      expect(text).toMatch(new RegExp(`^  --${name} .*`, "m"));
      expect(text).toContain(help.split(" ")[0]!);
    }
  });

  test("--version prints the version and nothing else", async () => {
    expect(await state.run(["--version"])).toEqual({ code: 0, stdout: "0.1.0\n", stderr: "" });
  });
});
